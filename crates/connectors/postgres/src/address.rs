//! Where a server is and how it is reached: a URL as libpq reads it, with the `PG*` variables and the password file behind
//! it (PostgreSQL, "Connection Strings", "Environment Variables", "The Password File").

use floodmark_core::{Code, Error, Result, url::ConnectionUrl, wording};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Environment variables, by name: given, so that tests have their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How much of TLS is wanted, as libpq's `sslmode` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    /// No TLS to begin with.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, SslMode::Disable | SslMode::Allow)
    }
}

const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// Parameters of a URL, and the variable that stands in for each.
const PARAMETERS: [(&str, &str); 22] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("fallback_application_name", ""),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("client_encoding", ""),
    ("gssencmode", ""),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
];

/// One of the servers a URL names: a host name or address, or the folder of a socket.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The URL's own, or the password file's.
    pub(crate) password: Option<String>,
}

impl Server {
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with(['/', '@'])
    }
}

/// Everything that is needed to connect. Never printed with its passwords.
#[derive(Clone)]
pub(crate) struct Address {
    /// Tried in this order.
    pub(crate) servers: Vec<Server>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) options: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) mode: SslMode,
    /// `system`, or the path of a file.
    pub(crate) root_certificate: Option<String>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) keepalives: bool,
    pub(crate) keepalives_idle: Duration,
    pub(crate) keepalives_interval: Duration,
    pub(crate) keepalives_count: u32,
    pub(crate) user_timeout: Duration,
}

/// On a network that swallows packets both ends give up after a minute, unless the URL says otherwise.
const KEEPALIVES: (Duration, Duration, u32) = (Duration::from_secs(20), Duration::from_secs(10), 4);
const USER_TIMEOUT: Duration = Duration::from_secs(60);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} at ", self.database, self.user)?;
        for (n, server) in self.servers.iter().enumerate() {
            write!(f, "{}{}:{}", if n > 0 { ", " } else { "" }, server.host, server.port)?;
        }
        Ok(())
    }
}

/// The parameters of a URL as written, and then those of the environment.
struct Given<'a> {
    pairs: Vec<(String, String)>,
    environment: Environment<'a>,
}

impl Given<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let written = self.pairs.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        written.filter(|v| !v.is_empty()).or_else(|| {
            let variable = PARAMETERS.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v);
            (self.environment)(variable).filter(|v| !variable.is_empty() && !v.is_empty())
        })
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| bad(format!("`{name}` is {text:?}, which is no number it can be")))
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        Ok(self.number(name)?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }
}

fn bad(message: String) -> Error {
    Error::new(Code::BadUrl, message).state("nothing was done").help(
        "write it as postgres://user@host:5432/database?sslmode=verify-full; a password belongs into ${…} or ~/.pgpass",
    )
}

impl Address {
    pub(crate) fn parse(url: &ConnectionUrl, environment: Environment<'_>) -> Result<Address> {
        let given = Given { pairs: pairs(url)?, environment };
        let user = given.get("user").or_else(|| environment("USER")).or_else(|| environment("LOGNAME"));
        let user = user.ok_or_else(|| bad("the URL names no user, and neither does the environment".into()))?;
        let database = given.get("dbname").unwrap_or_else(|| user.clone());
        let mode = match given.get("sslmode") {
            None => SslMode::Prefer,
            Some(name) => SSL_MODES.iter().find(|(n, _)| *n == name).map(|(_, mode)| *mode).ok_or_else(|| {
                let names: Vec<&str> = SSL_MODES.iter().map(|(n, _)| *n).collect();
                bad(format!("`sslmode` is {name:?}, and it is one of {}", names.join(", ")))
            })?,
        };
        let encoding = given.get("client_encoding").map(|e| e.to_ascii_lowercase().replace('-', ""));
        if encoding.is_some_and(|e| !matches!(e.as_str(), "utf8" | "auto" | "unicode")) {
            return Err(bad("`client_encoding` can only be UTF8".into()));
        }
        let mut address = Address {
            servers: servers(&given)?,
            user,
            database,
            options: given.get("options"),
            application: given.get("application_name").or_else(|| given.get("fallback_application_name")),
            mode,
            root_certificate: given.get("sslrootcert"),
            certificate: given.get("sslcert").map(PathBuf::from),
            key: given.get("sslkey").map(PathBuf::from),
            timeout: given.seconds("connect_timeout")?,
            keepalives: given.number::<u8>("keepalives")? != Some(0),
            keepalives_idle: given.seconds("keepalives_idle")?.unwrap_or(KEEPALIVES.0),
            keepalives_interval: given.seconds("keepalives_interval")?.unwrap_or(KEEPALIVES.1),
            keepalives_count: given.number("keepalives_count")?.filter(|n| *n > 0).unwrap_or(KEEPALIVES.2),
            user_timeout: given.number("tcp_user_timeout")?.map_or(USER_TIMEOUT, Duration::from_millis),
        };
        let password = given.get("password");
        let file = match password {
            Some(_) => String::new(),
            None => crate::passfile::read(given.get("passfile").map(PathBuf::from), environment),
        };
        for server in &mut address.servers {
            let host = if server.is_socket() { "localhost" } else { &server.host };
            let found = || crate::passfile::find(&file, host, server.port, &address.database, &address.user);
            server.password = password.clone().or_else(found);
        }
        Ok(address)
    }
}

impl Address {
    /// The URL of another database on the same server, with everything but the password, which is looked for in `passfile`.
    pub(crate) fn url_of(&self, database: &str, passfile: &Path) -> Result<ConnectionUrl> {
        let joined = |part: &dyn Fn(&Server) -> String| self.servers.iter().map(part).collect::<Vec<_>>().join(",");
        let mut parameters = vec![
            ("host", joined(&|s| s.host.clone())),
            ("port", joined(&|s| s.port.to_string())),
            ("passfile", passfile.display().to_string()),
        ];
        let mode = SSL_MODES.iter().find(|(_, mode)| *mode == self.mode).map_or("prefer", |(name, _)| name);
        parameters.push(("sslmode", mode.to_owned()));
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
        let seconds = |time: Duration| time.as_secs().to_string();
        for (name, value) in [
            ("keepalives", u8::from(self.keepalives).to_string()),
            ("keepalives_idle", seconds(self.keepalives_idle)),
            ("keepalives_interval", seconds(self.keepalives_interval)),
            ("keepalives_count", self.keepalives_count.to_string()),
            ("tcp_user_timeout", self.user_timeout.as_millis().to_string()),
        ] {
            parameters.push((name, value));
        }
        for (name, value) in [
            ("options", self.options.clone()),
            ("sslrootcert", self.root_certificate.clone()),
            ("sslcert", path(&self.certificate)),
            ("sslkey", path(&self.key)),
            ("connect_timeout", self.timeout.map(seconds)),
        ] {
            parameters.extend(value.map(|value| (name, value)));
        }
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        ConnectionUrl::parse(&format!("postgres://{}@/{}?{}", encode(&self.user), encode(database), query.join("&")))
    }
}

/// The URL taken apart: its own parts become the parameters they stand for.
fn pairs(url: &ConnectionUrl) -> Result<Vec<(String, String)>> {
    let rest = url.written().strip_prefix("//").ok_or_else(|| bad("the URL has no // after its scheme".into()))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // What stands before the last @ is the user, whatever its password holds.
    let (user, place) = match path.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, path),
    };
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let mut out = Vec::new();
    let mut put = |name: &str, value: &str| -> Result<()> {
        out.push((name.to_owned(), decode(value)?));
        Ok(())
    };
    if let Some(user) = user {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        put("user", user)?;
        put("password", password)?;
    }
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
            None => host.rsplit_once(':').unwrap_or((host, "")),
        };
        names.push(name);
        ports.push(port);
    }
    put("host", &names.join(","))?;
    if ports.iter().any(|p| !p.is_empty()) {
        put("port", &ports.join(","))?;
    }
    put("dbname", database)?;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            // As other clients write it.
            ("ssl", "true") => put("sslmode", "require")?,
            _ if PARAMETERS.iter().any(|(known, _)| *known == name) => put(name, value)?,
            _ if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => return Err(not_a_port()),
            _ => {
                let known: Vec<&str> = PARAMETERS.iter().map(|(n, _)| *n).collect();
                return Err(Error::new(
                    Code::BadUrl,
                    format!("the URL has a parameter {name:?} that is not understood"),
                )
                .state("nothing was done")
                .help(wording::suggest(name, "those that are", &known)));
            }
        }
    }
    Ok(out)
}

fn servers(given: &Given<'_>) -> Result<Vec<Server>> {
    let hosts = given.get("hostaddr").or_else(|| given.get("host")).filter(|h| h.split(',').any(|h| !h.is_empty()));
    let ports = given.get("port").unwrap_or_default();
    let ports = ports
        .split(',')
        .map(|p| if p.is_empty() { Ok(5432) } else { p.trim().parse().map_err(|_| not_a_port()) })
        .collect::<Result<Vec<u16>>>()?;
    let hosts: Vec<String> = match hosts {
        Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
        None => vec![local(ports[0])],
    };
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(bad(format!("{} hosts and {} ports are named", hosts.len(), ports.len())));
    }
    let port = |n: usize| ports.get(n).copied().unwrap_or(ports[0]);
    let host = |host: String| if host.is_empty() { local(ports[0]) } else { host };
    Ok(hosts.into_iter().enumerate().map(|(n, h)| Server { host: host(h), port: port(n), password: None }).collect())
}

/// What stands there may be part of a password with an odd character: it is not shown.
fn not_a_port() -> Error {
    bad("the URL has a port that is no number (write %3A for a colon, %40 for an @ and %3F for a ? in a password)"
        .into())
}

/// Where a server of this machine listens: the socket of Debian's or of PostgreSQL's own default, else its loopback.
fn local(port: u16) -> String {
    let folders = ["/var/run/postgresql", "/tmp"];
    let there = folders.into_iter().find(|folder| PathBuf::from(format!("{folder}/.s.PGSQL.{port}")).exists());
    there.unwrap_or("localhost").to_owned()
}

/// `%2F` and the like.
fn decode(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(bad("the URL has a % that two hexadecimal digits do not follow (write %25 for %)".into())),
        }
    }
    String::from_utf8(out).map_err(|_| bad("the URL is not UTF-8 once its %XX are read".into()))
}

/// A text as it stands in a URL.
pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'/');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<Address> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Address::parse(&ConnectionUrl::parse(url).unwrap(), &get)
    }

    fn hosts(address: &Address) -> Vec<(&str, u16)> {
        address.servers.iter().map(|s| (s.host.as_str(), s.port)).collect()
    }

    #[test]
    fn a_url_says_it_all() {
        let url =
            "postgresql://ann%40x:p%2Fw@db1:5433,[::1]/shop?sslmode=verify-full&connect_timeout=3&options=-c%20x%3D1";
        let address = parse(url, &[("PGUSER", "other")]).unwrap();
        assert_eq!(hosts(&address), [("db1", 5433), ("::1", 5432)]);
        assert_eq!((address.user.as_str(), address.database.as_str()), ("ann@x", "shop"));
        assert_eq!(address.servers[1].password.as_deref(), Some("p/w"));
        assert_eq!((address.mode, address.timeout), (SslMode::VerifyFull, Some(Duration::from_secs(3))));
        assert_eq!(address.options.as_deref(), Some("-c x=1"));
        assert!(!address.to_string().contains("p/w"));
    }

    #[test]
    fn what_a_url_leaves_out_comes_from_the_environment() {
        let variables = [
            ("PGHOST", "/run/pg"),
            ("PGPORT", "6000"),
            ("PGUSER", "ann"),
            ("PGPASSWORD", "pw"),
            ("PGSSLMODE", "require"),
        ];
        let address = parse("postgres://", &variables).unwrap();
        assert_eq!(hosts(&address), [("/run/pg", 6000)]);
        assert!(address.servers[0].is_socket());
        assert_eq!((address.database.as_str(), address.mode), ("ann", SslMode::Require));
        let address = parse("postgres://bob@h/d?host=/tmp/x", &variables).unwrap();
        assert_eq!((hosts(&address), address.user.as_str()), (vec![("/tmp/x", 6000)], "bob"));
    }

    #[test]
    fn a_copys_url_says_the_same_of_another_database() {
        let address = parse(
            "postgres://ann@h/d?host=db1,/tmp/x&port=5433,5432&sslmode=require&options=-c%20x%3D1&keepalives_idle=3&tcp_user_timeout=9",
            &[],
        );
        let address = address.unwrap();
        let copy = address.url_of("other db", Path::new("/no/file")).unwrap();
        let again = Address::parse(&copy, &|_| None).unwrap();
        assert_eq!((hosts(&again), again.database.as_str()), (hosts(&address), "other db"));
        assert_eq!((again.mode, again.options.as_deref()), (SslMode::Require, Some("-c x=1")));
        let limits = (again.keepalives, again.keepalives_idle, again.keepalives_interval, again.user_timeout);
        assert_eq!(limits, (true, Duration::from_secs(3), KEEPALIVES.1, Duration::from_millis(9)));
    }

    #[test]
    fn mistakes_are_told_without_the_password() {
        for url in [
            "postgres://u:secret@h/d?sslmod=require",
            "postgres://u:secret@h/d?sslmode=on",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret%@h/d",
            "postgres:u:secret@h/d",
            "postgres://u:sec?secret@h/d",
            "postgres://u:secret?a=b@h/d",
            "postgres://u:secret@a,b/d?port=1,2,3",
            "postgres://u:secret@h/d?client_encoding=latin1",
        ] {
            let error = parse(url, &[]).err().unwrap();
            assert_eq!(error.code(), Code::BadUrl, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
