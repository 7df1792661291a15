//! What a visitor may choose, and the pipeline files that are written from it. Whatever a visitor sends is hostile: so there is
//! no field for a path, an address, SQL or a variable. A strategy is one of a list, columns are named by plain words, and rows
//! are the content of files that have their names from here.

use floodmark_core::pipeline::Load;

/// A file has at most so many bytes and lines.
pub(crate) const BYTES: usize = 8 << 10;
pub(crate) const LINES: usize = 200;
/// Columns of a key, and characters of a name.
const COLUMNS: usize = 4;
const NAME: usize = 40;

/// The table of the visitor's pipeline, and that of the loader beside it.
pub(crate) const TABLE: &str = "orders";
pub(crate) const NAIVE: &str = "naive";

/// What was chosen, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    load: &'static str,
    /// As it was typed; nothing for none.
    key: String,
    /// Nothing for none.
    watermark: String,
    /// As they are edited.
    files: [String; 2],
}

impl Recipe {
    /// What is there to begin with: the second file changes two rows of the first.
    pub(crate) fn example() -> Recipe {
        Recipe {
            load: Load::Upsert.name(),
            key: "id".into(),
            watermark: "updated_at".into(),
            files: [
                "id,customer,amount,updated_at\n1,ada,10.50,2026-01-01\n2,bob,20.00,2026-01-01\n3,cyd,30.25,2026-01-02\n4,dan,5.00,2026-01-02\n5,eve,7.75,2026-01-03\n".into(),
                "id,customer,amount,updated_at\n6,fay,12.00,2026-01-03\n2,bob,25.00,2026-01-04\n7,gus,99.99,2026-01-04\n5,eve,8.00,2026-01-05\n".into(),
            ],
        }
    }

    /// The strategies there are.
    pub(crate) fn loads() -> impl Iterator<Item = &'static str> {
        Load::NAMES.iter().map(|(name, _)| *name)
    }

    /// From what a form sent; the error says what may not be.
    pub(crate) fn new(load: &str, key: &str, watermark: &str, files: [String; 2]) -> Result<Recipe, String> {
        let load = Recipe::loads().find(|known| *known == load).ok_or("there is no such load strategy")?;
        let watermark = watermark.trim().to_owned();
        // A browser sends line ends that nobody typed.
        let files = files.map(|file| file.replace("\r\n", "\n"));
        let recipe = Recipe { load, key: key.to_owned(), watermark, files };
        let columns = recipe.columns();
        if columns.len() > COLUMNS || !columns.iter().all(|column| is_plain(column)) {
            return Err(format!("a key is here at most {COLUMNS} names of letters, digits and _, separated by commas"));
        }
        if !recipe.watermark.is_empty() && !is_plain(&recipe.watermark) {
            return Err("a watermark is here one name of letters, digits and _, or nothing".into());
        }
        if recipe.files.iter().any(|file| file.len() > BYTES || file.lines().count() > LINES) {
            return Err(format!("a file has here at most {} KiB and {LINES} lines", BYTES >> 10));
        }
        Ok(recipe)
    }

    pub(crate) fn load(&self) -> &'static str {
        self.load
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn watermark(&self) -> &str {
        &self.watermark
    }

    pub(crate) fn files(&self) -> &[String; 2] {
        &self.files
    }

    fn columns(&self) -> Vec<&str> {
        self.key.split([',', ' ']).filter(|column| !column.is_empty()).collect()
    }

    /// The pipeline file.
    pub(crate) fn file(&self) -> String {
        let quoted: Vec<String> = self.columns().iter().map(|column| format!("\"{column}\"")).collect();
        let mut file = head(TABLE, "shop");
        file.push_str(&format!("    load: {}\n", self.load));
        if !quoted.is_empty() {
            file.push_str(&format!("    key: [{}]\n", quoted.join(", ")));
        }
        if !self.watermark.is_empty() {
            file.push_str(&format!("    watermark: \"{}\"\n", self.watermark));
        }
        file.push_str("    commit_every: 1\n");
        file
    }

    /// That of the loader beside it, which adds whatever it reads.
    pub(crate) fn naive() -> String {
        format!("{}    load: append\n    append: at_least_once\n    commit_every: 1\n", head(NAIVE, NAIVE))
    }
}

fn head(table: &str, database: &str) -> String {
    format!(
        "version: 1\npipelines:\n  {table}:\n    source: {{ files: \"data/orders-*.csv\", format: csv }}\n    destination: {{ url: \"sqlite:///{database}.db\", table: {table} }}\n"
    )
}

fn is_plain(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    first && name.len() <= NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(load: &str, key: &str, watermark: &str) -> Result<Recipe, String> {
        Recipe::new(load, key, watermark, Recipe::example().files)
    }

    #[test]
    fn the_example_is_allowed_and_is_what_the_file_says() {
        let example = Recipe::example();
        assert_eq!(with("upsert", "id", "updated_at").as_ref(), Ok(&example));
        insta::assert_snapshot!(format!("{}---\n{}", example.file(), Recipe::naive()));
        let bare = with("append", "", " ").unwrap().file();
        assert!(!bare.contains("key") && !bare.contains("watermark"), "{bare}");
    }

    #[test]
    fn nothing_but_words_comes_into_a_pipeline_file() {
        let hostile = [
            "id\n    transform: x",
            "id\"]\n  b:",
            "${HOME}",
            "${file:/etc/passwd}",
            "$$",
            "../../etc/passwd",
            "id; DROP TABLE orders",
            "id'--",
            "{ a: b }",
            "*x",
            "&x",
            "!!str",
            "é",
            "1a",
            "id\u{0}",
            "id#",
        ];
        for text in hostile {
            assert!(with("upsert", text, "").is_err(), "key {text:?}");
            assert!(with("upsert", "id", text).is_err(), "watermark {text:?}");
            assert!(with(text, "id", "").is_err(), "load {text:?}");
        }
        assert!(with("upsert", "a,b,c,d,e", "").is_err());
        assert!(with("upsert", &"x".repeat(NAME + 1), "").is_err());
        assert_eq!(with("upsert", "id, customer", "").unwrap().columns(), ["id", "customer"]);
        // Rows are in files of their own, and nowhere else.
        let rows = Recipe::new("append", "", "", ["a: b\n${HOME}\n".into(), String::new()]).unwrap();
        assert!(!rows.file().contains("HOME"), "{}", rows.file());
    }

    #[test]
    fn files_are_small_and_have_the_line_ends_that_were_typed() {
        let of = |file: String| Recipe::new("upsert", "id", "updated_at", [file, Recipe::example().files[1].clone()]);
        assert!(of("x".repeat(BYTES + 1)).is_err());
        assert!(of("x\n".repeat(LINES + 1)).is_err());
        let typed = Recipe::example().files[0].replace('\n', "\r\n");
        assert_eq!(of(typed), Ok(Recipe::example()));
    }
}
