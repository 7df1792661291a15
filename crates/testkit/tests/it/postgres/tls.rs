//! How a server is greeted: `sslmode` with certificates that suit it or not, those of clients, and passwords.

use floodmark_testkit::{floodmark, scratch, server::postgres::Server};
use std::{path::Path, process::Command};
use tempfile::TempDir;

/// Who is let in how, over the loopback.
const LETS_IN: &str = "local all all trust
                       hostssl all certified 127.0.0.1/32 cert
                       host all sworn 127.0.0.1/32 scram-sha-256
                       hostssl all hidden 127.0.0.1/32 trust
                       host all postgres 127.0.0.1/32 trust\n";

struct Scene {
    server: Server,
    /// Authorities, certificates and keys.
    papers: TempDir,
}

fn openssl(folder: &Path, arguments: &str) {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

impl Scene {
    fn new() -> Scene {
        let papers = scratch().unwrap();
        let folder = papers.path();
        let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        for authority in ["root", "other"] {
            openssl(folder, &format!("{key} -keyout {authority}.key -out {authority}.crt -subj /CN={authority}"));
        }
        let signed = format!("{key} -CA root.crt -CAkey root.key");
        openssl(
            folder,
            &format!(
                "{signed} -keyout server.key -out server.crt -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                 -addext basicConstraints=critical,CA:FALSE"
            ),
        );
        openssl(folder, &format!("{signed} -keyout client.key -out client.crt -subj /CN=certified"));
        let file = |name: &str| folder.join(name);
        let server = Server::with_tls(&file("server.crt"), &file("server.key"), &file("root.crt"), LETS_IN).unwrap();
        let roles = "CREATE ROLE certified LOGIN; CREATE ROLE hidden LOGIN; CREATE ROLE sworn LOGIN PASSWORD 'p:w/@ ß'";
        server.connect().unwrap().batch_execute(roles).unwrap();
        Scene { server, papers }
    }

    fn paper(&self, name: &str) -> String {
        self.papers.path().join(name).display().to_string()
    }

    fn url(&self, user: &str, host: &str, more: &str) -> String {
        format!("postgres://{user}@{host}:{}/postgres?{more}", self.server.port())
    }

    /// Whether the session of a run is encrypted; or what the run says when there is none.
    fn greet(&self, url: &str, variables: &[(&str, &str)]) -> Result<bool, String> {
        let home = scratch().unwrap();
        let query = "SELECT 1 AS id, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let mut command = Command::new(floodmark().unwrap());
        command.current_dir(home.path()).env("HOME", home.path()).envs(variables.iter().copied());
        command.args([
            "--format",
            "json",
            "load",
            url,
            "sqlite:///out.db",
            "--table",
            "t",
            "--key",
            "id",
            "--query",
            query,
        ]);
        let ran = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        if !ran.status.success() {
            return Err(said);
        }
        let database = rusqlite::Connection::open(home.path().join("out.db")).unwrap();
        Ok(database.query_row("SELECT ssl FROM t", [], |row| row.get(0)).unwrap())
    }
}

#[test]
fn sslmode_means_what_it_means_to_libpq() {
    let scene = Scene::new();
    let (root, other) = (scene.paper("root.crt"), scene.paper("other.crt"));
    let greet = |user: &str, host: &str, more: &str| scene.greet(&scene.url(user, host, more), &[]);
    // What is encrypted, with no certificate to go by.
    for (mode, encrypted) in [("disable", false), ("allow", false), ("prefer", true), ("require", true)] {
        assert_eq!(greet("postgres", "127.0.0.1", &format!("sslmode={mode}")), Ok(encrypted), "{mode}");
    }
    assert_eq!(greet("postgres", "127.0.0.1", ""), Ok(true), "prefer is the default");
    // A user who is let in encrypted alone.
    assert_eq!(greet("hidden", "127.0.0.1", "sslmode=allow"), Ok(true));
    let refused = greet("hidden", "127.0.0.1", "sslmode=disable").unwrap_err();
    assert!(refused.contains("pg_hba.conf") && refused.contains("FM0202"), "{refused}");
    // The authority, and the name.
    for (host, mode, root, fits) in [
        ("localhost", "verify-full", &root, true),
        ("127.0.0.1", "verify-full", &root, false),
        ("127.0.0.1", "verify-ca", &root, true),
        ("localhost", "verify-full", &other, false),
        ("localhost", "verify-ca", &other, false),
        // Where there is a root certificate, `require` means `verify-ca`.
        ("127.0.0.1", "require", &root, true),
        ("127.0.0.1", "require", &other, false),
    ] {
        let found = greet("postgres", host, &format!("sslmode={mode}&sslrootcert={root}"));
        match found {
            Ok(encrypted) => assert!(fits && encrypted, "{host} {mode} {root}: let in"),
            Err(said) => assert!(!fits && said.contains("sslrootcert=/path/ca.crt"), "{host} {mode} {root}: {said}"),
        }
    }
    let none = greet("postgres", "localhost", "sslmode=verify-full").unwrap_err();
    assert!(none.contains("there is no root certificate"), "{none}");
}

#[test]
fn clients_are_let_in_by_certificate_and_by_password() {
    let scene = Scene::new();
    let own = format!("sslcert={}&sslkey={}", scene.paper("client.crt"), scene.paper("client.key"));
    let greet = |user: &str, more: &str, variables: &[(&str, &str)]| {
        scene.greet(&scene.url(user, "127.0.0.1", more), variables)
    };
    assert_eq!(greet("certified", &own, &[]), Ok(true));
    let without = greet("certified", "", &[]).unwrap_err();
    assert!(without.contains("certificate"), "{without}");
    // A password in the URL, in the environment, in a file; a wrong one, and none.
    assert_eq!(greet("sworn:p%3Aw%2F%40%20%C3%9F", "", &[]), Ok(true));
    assert_eq!(greet("sworn:p%3Aw%2F%40%20%C3%9F", "sslmode=disable", &[]), Ok(false));
    assert_eq!(greet("sworn", "", &[("PGPASSWORD", "p:w/@ ß")]), Ok(true));
    let file = scene.papers.path().join("pgpass");
    std::fs::write(&file, format!("127.0.0.1:{}:*:sworn:p\\:w/@ ß\n", scene.server.port())).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    assert_eq!(greet("sworn", &format!("passfile={}", file.display()), &[]), Ok(true));
    assert_eq!(greet("sworn", "", &[("PGPASSFILE", &file.display().to_string())]), Ok(true));
    for user in ["sworn:wrong", "sworn"] {
        let refused = greet(user, "", &[]).unwrap_err();
        assert!(refused.contains("password") && !refused.contains("wrong\""), "{user}: {refused}");
    }
}
