//! Where the library is that this crate's tests were linked with: they find it there again.

fn main() {
    // Where it is says nothing to a program without DuckDB, which is not built anew for that.
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_DUCKDB").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    if let Ok(folder) = std::env::var("DUCKDB_LIB_DIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
