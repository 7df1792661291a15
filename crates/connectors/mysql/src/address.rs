//! Where a server is and how it is reached: a URL with the parameters of the servers' own clients, and the `MYSQL_*`
//! variables behind it.

use floodmark_core::{Code, Error, Result, url::ConnectionUrl, wording};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Environment variables, by name: given, so that tests have their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How much of TLS is wanted, as the `ssl-mode` of MySQL's client has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

const SSL_MODES: [(&str, SslMode); 5] = [
    ("disabled", SslMode::Disabled),
    ("preferred", SslMode::Preferred),
    ("required", SslMode::Required),
    ("verify_ca", SslMode::VerifyCa),
    ("verify_identity", SslMode::VerifyIdentity),
];

/// Parameters of a URL, and the variable that stands in for each. Written with `-` or `_`.
const PARAMETERS: [(&str, &str); 14] = [
    ("host", "MYSQL_HOST"),
    ("port", "MYSQL_TCP_PORT"),
    ("socket", "MYSQL_UNIX_PORT"),
    ("user", "MYSQL_USER"),
    ("password", "MYSQL_PWD"),
    ("password_file", ""),
    ("database", ""),
    ("ssl_mode", ""),
    ("ssl_ca", ""),
    ("ssl_cert", ""),
    ("ssl_key", ""),
    ("connect_timeout", ""),
    ("tcp_user_timeout", ""),
    ("lock_wait_timeout", ""),
];

/// Where a server of this machine listens: Debian's socket, Fedora's, and that of the source's own default.
const SOCKETS: [&str; 3] = ["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(String, u16),
    Socket(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Everything that is needed to connect. Never printed with its password.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) mode: SslMode,
    /// `system`, or the path of a file.
    pub(crate) root_certificate: Option<String>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) lock_wait: Option<Duration>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} at {}", self.database, self.user, self.place)
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

    fn duration(&self, name: &str, unit: fn(u64) -> Duration) -> Result<Option<Duration>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.trim().parse().map_err(|_| bad(format!("`{name}` is {text:?}, which is no whole number")))?;
        Ok(Some(number).filter(|number| *number > 0).map(unit))
    }
}

fn bad(message: String) -> Error {
    Error::new(Code::BadUrl, message).state("nothing was done").help(
        "write it as mysql://user@host:3306/database?ssl-mode=verify_identity; a password belongs into ${…}, or into a file: \
         ?password-file=/path",
    )
}

impl Address {
    pub(crate) fn parse(url: &ConnectionUrl, environment: Environment<'_>) -> Result<Address> {
        let given = Given { pairs: pairs(url)?, environment };
        let user = given.get("user").or_else(|| environment("USER")).or_else(|| environment("LOGNAME"));
        let user = user.ok_or_else(|| bad("the URL names no user, and neither does the environment".into()))?;
        let database = given.get("database").ok_or_else(|| bad("the URL names no database".into()))?;
        let mode = match given.get("ssl_mode") {
            None => SslMode::Preferred,
            Some(name) => {
                let plain = name.to_ascii_lowercase().replace('-', "_");
                SSL_MODES.iter().find(|(n, _)| *n == plain).map(|(_, mode)| *mode).ok_or_else(|| {
                    let names: Vec<&str> = SSL_MODES.iter().map(|(n, _)| *n).collect();
                    bad(format!("`ssl-mode` is {name:?}, and it is one of {}", names.join(", ")))
                })?
            }
        };
        let password = match (given.get("password"), given.get("password_file")) {
            (None, Some(path)) => Some(read_password(Path::new(&path))?),
            (password, _) => password,
        };
        Ok(Address {
            place: place(&given)?,
            user,
            password,
            database,
            mode,
            root_certificate: given.get("ssl_ca"),
            certificate: given.get("ssl_cert").map(PathBuf::from),
            key: given.get("ssl_key").map(PathBuf::from),
            timeout: given.duration("connect_timeout", Duration::from_secs)?,
            user_timeout: given.duration("tcp_user_timeout", Duration::from_millis)?,
            lock_wait: given.duration("lock_wait_timeout", Duration::from_secs)?,
        })
    }

    /// The URL of another database on the same server, with everything but the password, which is read from a file.
    pub(crate) fn url_of(&self, database: &str, password_file: Option<&Path>) -> Result<ConnectionUrl> {
        let path = |path: &Path| path.display().to_string();
        let mode = SSL_MODES.iter().find(|(_, mode)| *mode == self.mode).map_or("preferred", |(name, _)| name);
        let (host, port, socket) = match &self.place {
            Place::Tcp(host, port) => (Some(host.clone()), Some(port.to_string()), None),
            Place::Socket(socket) => (None, None, Some(path(socket))),
        };
        let parameters = [
            ("host", host),
            ("port", port),
            ("socket", socket),
            ("password-file", password_file.map(path)),
            ("ssl-mode", Some(mode.to_owned())),
            ("ssl-ca", self.root_certificate.clone()),
            ("ssl-cert", self.certificate.as_deref().map(path)),
            ("ssl-key", self.key.as_deref().map(path)),
            ("connect-timeout", self.timeout.map(|t| t.as_secs().to_string())),
            ("lock-wait-timeout", self.lock_wait.map(|t| t.as_secs().to_string())),
        ];
        let query: Vec<String> = parameters
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", encode(&value))))
            .collect();
        ConnectionUrl::parse(&format!("mysql://{}@/{}?{}", encode(&self.user), encode(database), query.join("&")))
    }
}

fn read_password(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| bad(format!("the file of the password, {}, cannot be read", path.display())).cause(e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn place(given: &Given<'_>) -> Result<Place> {
    if let Some(socket) = given.pairs.iter().rev().find(|(n, v)| n == "socket" && !v.is_empty()) {
        return Ok(Place::Socket(PathBuf::from(&socket.1)));
    }
    let port = given.get("port").map(|p| p.trim().parse().map_err(|_| not_a_port())).transpose()?;
    let host = given.get("host").unwrap_or_default();
    // As the servers' own clients: a server of this machine is reached by its socket, unless a port is named.
    if matches!(host.as_str(), "" | "localhost") && port.is_none() {
        if let Some(socket) = given.get("socket") {
            return Ok(Place::Socket(PathBuf::from(socket)));
        }
        if let Some(socket) = SOCKETS.iter().map(Path::new).find(|path| path.exists()) {
            return Ok(Place::Socket(socket.to_owned()));
        }
    }
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(Place::Tcp(host, port.unwrap_or(3306)))
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
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
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
    let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
        None => host.rsplit_once(':').unwrap_or((host, "")),
    };
    put("host", name)?;
    put("port", port)?;
    put("database", database)?;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(not_a_port());
        }
        let plain = name.replace('-', "_");
        match (plain.as_str(), value) {
            // As other clients write it.
            ("ssl", "true" | "1") => put("ssl_mode", "required")?,
            ("ssl", "false" | "0") => put("ssl_mode", "disabled")?,
            ("unix_socket", value) => put("socket", value)?,
            ("charset", value) if value.to_ascii_lowercase().starts_with("utf8") => {}
            _ if PARAMETERS.iter().any(|(known, _)| *known == plain) => put(&plain, value)?,
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

/// What stands there may be part of a password with an odd character: it is not shown.
fn not_a_port() -> Error {
    bad("the URL has a port that is no number (write %3A for a colon, %40 for an @ and %3F for a ? in a password)"
        .into())
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
fn encode(text: &str) -> String {
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

    #[test]
    fn a_url_says_it_all() {
        let url = "mariadb://ann%40x:p%2Fw@db1:3307/shop?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem&connect_timeout=3";
        let address = parse(url, &[("MYSQL_USER", "other")]).unwrap();
        assert_eq!(address.place, Place::Tcp("db1".into(), 3307));
        assert_eq!((address.user.as_str(), address.database.as_str()), ("ann@x", "shop"));
        assert_eq!(address.password.as_deref(), Some("p/w"));
        assert_eq!((address.mode, address.timeout), (SslMode::VerifyIdentity, Some(Duration::from_secs(3))));
        assert_eq!(address.root_certificate.as_deref(), Some("/ca.pem"));
        assert!(!address.to_string().contains("p/w"));
        let v6 = parse("mysql://u@[::1]:3307/d", &[]).unwrap();
        assert_eq!(v6.place, Place::Tcp("::1".into(), 3307));
    }

    #[test]
    fn what_a_url_leaves_out_comes_from_the_environment() {
        let variables = [("MYSQL_HOST", "db"), ("MYSQL_TCP_PORT", "6000"), ("USER", "ann"), ("MYSQL_PWD", "pw")];
        let address = parse("mysql:///shop", &variables).unwrap();
        assert_eq!(address.place, Place::Tcp("db".into(), 6000));
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("ann", Some("pw")));
        let address = parse("mysql://bob@h/d?socket=/tmp/x", &variables).unwrap();
        assert_eq!((address.place, address.user.as_str()), (Place::Socket("/tmp/x".into()), "bob"));
    }

    #[test]
    fn a_copys_url_says_the_same_of_another_database() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pw");
        std::fs::write(&file, "s3cret\n").unwrap();
        let address = parse("mysql://ann:s3cret@db1:3307/d?ssl-mode=required", &[]).unwrap();
        let copy = address.url_of("other db", Some(&file)).unwrap();
        let again = Address::parse(&copy, &|_| None).unwrap();
        assert_eq!((&again.place, again.database.as_str()), (&address.place, "other db"));
        assert_eq!((again.mode, again.password), (SslMode::Required, address.password));
    }

    #[test]
    fn mistakes_are_told_without_the_password() {
        for url in [
            "mysql://u:secret@h/d?ssl-mod=required",
            "mysql://u:secret@h/d?ssl-mode=on",
            "mysql://u:secret@h:port/d",
            "mysql://u:secret%@h/d",
            "mysql:u:secret@h/d",
            "mysql://u:sec?secret@h/d",
            "mysql://u:secret?a=b@h/d",
            "mysql://u:secret@h",
            "mysql://u:secret@h/d?charset=latin1",
        ] {
            let error = parse(url, &[]).err().unwrap();
            assert_eq!(error.code(), Code::BadUrl, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
