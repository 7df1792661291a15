//! The databases that hold state: those of the pipeline file, or the one named by `--destination`.

use crate::{
    args::{Global, Store},
    commands::Failure,
    project,
    render::Printer,
    work,
};
use floodmark_config::Project;
use floodmark_connect::{Destination, destination::Ledger};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use floodmark_engine::registry;

/// A database with state in it.
pub(crate) struct Keeper {
    /// Where it is.
    pub(crate) url: ConnectionUrl,
    /// The database.
    pub(crate) destination: Box<dyn Destination>,
    /// What of the file loads into it; `None` where there is no file, and all that it knows counts.
    declared: Option<Vec<Declared>>,
}

/// A pipeline of the file, or several.
enum Declared {
    One(String),
    /// A family by its name. Which tables it loaded the database knows, also when the source is not at hand or has them no
    /// more.
    Family(String),
}

impl Declared {
    fn family_of(&self, pipeline: &str) -> bool {
        matches!(self, Declared::Family(name) if pipeline.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }
}

impl Keeper {
    /// Its ledgers; `None` where no run has made the database yet.
    pub(crate) fn ledger(&self) -> Result<Option<Box<dyn Ledger>>> {
        if self.destination.exists() { self.destination.ledger().map(Some) } else { Ok(None) }
    }

    /// The pipelines to speak of.
    pub(crate) fn pipelines(&self, ledger: Option<&dyn Ledger>) -> Result<Vec<String>> {
        let Some(declared) = &self.declared else { return ledger.map_or(Ok(Vec::new()), Ledger::pipelines) };
        let known = match ledger.filter(|_| declared.iter().any(|of| matches!(of, Declared::Family(_)))) {
            Some(ledger) => ledger.pipelines()?,
            None => Vec::new(),
        };
        let named = declared.iter().flat_map(|of| match of {
            Declared::One(name) => vec![name.clone()],
            Declared::Family(_) => known.iter().filter(|name| of.family_of(name)).cloned().collect(),
        });
        Ok(named.collect())
    }

    /// The pipelines that a name stands for: itself, or those of the family that is called so.
    pub(crate) fn meant(&self, name: &str, ledger: Option<&dyn Ledger>) -> Result<Vec<String>> {
        let family = Declared::Family(name.to_owned());
        let is_family = self.declared.iter().flatten().any(|of| matches!(of, Declared::Family(n) if n == name));
        match (is_family, ledger) {
            (false, _) => Ok(vec![name.to_owned()]),
            (true, None) => Ok(Vec::new()),
            (true, Some(ledger)) => Ok(ledger.pipelines()?.into_iter().filter(|p| family.family_of(p)).collect()),
        }
    }
}

/// The databases that hold state, and the project where there is one.
pub(crate) struct Keepers {
    /// In the order of the pipeline file.
    pub(crate) all: Vec<Keeper>,
    /// `None` with `--destination`.
    pub(crate) project: Option<Project>,
}

impl Keepers {
    /// `--destination` when it is given, else the destinations of the pipeline file.
    pub(crate) fn open(global: &Global, store: &Store) -> Result<Self, Failure> {
        if let Some(url) = &store.destination {
            let url = ConnectionUrl::parse(url)?;
            let destination = registry::destination(&url)?;
            return Ok(Keepers { all: vec![Keeper { url, destination, declared: None }], project: None });
        }
        let instead = "or name the database that holds the state: --destination sqlite:///shop.db";
        let project = project::open_or(global, instead)?;
        let ones = project.pipelines.iter().map(|p| (&p.destination.url, Declared::One(p.name.clone())));
        let families = project.families.iter().map(|f| (&f.destination, Declared::Family(f.name.clone())));
        let mut all: Vec<Keeper> = Vec::new();
        for (url, declared) in ones.chain(families) {
            let index = match all.iter().position(|k| k.url == *url) {
                Some(index) => index,
                None => {
                    let destination = registry::destination(url)?;
                    all.push(Keeper { url: url.clone(), destination, declared: Some(Vec::new()) });
                    all.len() - 1
                }
            };
            all[index].declared.get_or_insert_default().push(declared);
        }
        Ok(Keepers { all, project: Some(project) })
    }

    /// The database that holds the state of a pipeline, or of a family. Without a file it is the one that was named.
    pub(crate) fn of(&self, name: &str) -> Result<&Keeper> {
        let is = |of: &Declared| match of {
            Declared::One(n) => n == name,
            Declared::Family(n) => n == name || of.family_of(name),
        };
        let declares = |k: &&Keeper| k.declared.as_ref().is_none_or(|declared| declared.iter().any(is));
        self.all.iter().find(declares).ok_or_else(|| match &self.project {
            Some(project) => project::unknown(project, name, &self.of_families()),
            None => Error::internal("no database was named"),
        })
    }

    /// As `of`, for what is done with one pipeline at a time.
    pub(crate) fn of_one(&self, name: &str) -> Result<&Keeper> {
        let family = self.project.iter().flat_map(|p| &p.families).any(|family| family.name == name);
        if !family {
            return self.of(name);
        }
        let error = Error::new(Code::BadArgument, format!("{name:?} is a pipeline over several tables"))
            .state("nothing was done");
        Err(match self.of_families().iter().find(|member| member.starts_with(&format!("{name}."))) {
            Some(member) => error.help(format!("name one of them, such as {member}")),
            None => error.help(format!("name one of them: {name}.TABLE")),
        })
    }

    /// The pipelines of families that the databases know; none of a database that cannot be asked.
    fn of_families(&self) -> Vec<String> {
        let known =
            |keeper: &Keeper| keeper.ledger().ok().flatten().and_then(|l| keeper.pipelines(Some(l.as_ref())).ok());
        self.all.iter().filter_map(known).flatten().collect()
    }

    /// The ledgers of all databases that are there.
    pub(crate) fn ledgers(&self) -> Result<Vec<Box<dyn Ledger>>> {
        self.all.iter().filter_map(|keeper| keeper.ledger().transpose()).collect()
    }

    /// Says which databases no run has made yet.
    pub(crate) fn tell_missing(&self, printer: &Printer) {
        for keeper in self.all.iter().filter(|k| !k.destination.exists()) {
            printer.note(&format!("There is no database yet: {}", keeper.url));
        }
    }

    /// The pipeline's settings, where there is a file that has them.
    pub(crate) fn settings(&self, name: &str, printer: &Printer) -> Result<Option<Pipeline>> {
        let Some(project) = &self.project else { return Ok(None) };
        let work = work::select(project, &[name.to_owned()], printer, false)?;
        work.into_iter().next().map(|work| work.pipeline).transpose()
    }
}
