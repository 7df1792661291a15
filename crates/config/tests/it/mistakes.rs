use super::*;
#[test]
fn show() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mistakes.yaml")).unwrap();
    let d = parse(&text).unwrap_err();
    println!("{}", d.render(false));
    println!("{:#}", d.to_json());
    let p = parse(EXAMPLE);
    match p {
        Ok(p) => println!("{p:#?}"),
        Err(e) => println!("{e}"),
    }
    println!("{}", floodmark_config::reference());
    println!("{:#}", floodmark_config::json_schema());
}
