//! The first words of a connection: what both can do, TLS, and who it is (MySQL, "Connection Phase").

use crate::{
    address::{Address, Place, SslMode},
    failure::Failure,
    packets::Packets,
    tls,
    wire::{Fields, failure_of},
};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA256, digest};
use std::{io::ErrorKind, time::Duration};

const LONG_PASSWORD: u32 = 1;
/// An update says how many rows it found, also where they were as it would make them.
const FOUND_ROWS: u32 = 1 << 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRIBUTES: u32 = 1 << 20;
/// MariaDB's own: a column says its form where the protocol has no number for it (json).
const EXTENDED_METADATA: u32 = 1 << 3;

/// `utf8mb4_general_ci`, which every server knows; the settings of the session follow.
const UTF8MB4: u8 = 45;

/// How long a server may take to answer the first word, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(15);

/// How long nothing may come over a network on which something should.
const SILENCE: Duration = Duration::from_secs(60);

/// What the server said of itself.
struct Greeting {
    scramble: Vec<u8>,
    capabilities: u32,
    /// Those of MariaDB alone.
    own: u32,
    plugin: String,
}

/// A connection on which commands may be sent. `application` is shown to whoever looks at the server's sessions.
pub(crate) fn connect(address: &Address, application: &str) -> Result<Packets, Failure> {
    let timeout = address.timeout.unwrap_or(CONNECT);
    greet(address, application, timeout).map_err(|failure| match failure {
        Failure::Lost(error) | Failure::Tls(error)
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            Failure::Silent(timeout)
        }
        other => other,
    })
}

fn greet(address: &Address, application: &str, timeout: Duration) -> Result<Packets, Failure> {
    let mut packets = match &address.place {
        Place::Tcp(host, port) => Packets::tcp(host, *port, timeout, address.user_timeout.unwrap_or(SILENCE))?,
        Place::Socket(path) => Packets::socket(path)?,
    };
    packets.patience(Some(timeout))?;
    let packet = packets.next()?;
    let greeting = greeting(packets.bytes(packet))?;
    let wanted = LONG_PASSWORD
        | FOUND_ROWS
        | LONG_FLAG
        | CONNECT_WITH_DB
        | LOCAL_FILES
        | PROTOCOL_41
        | TRANSACTIONS
        | SECURE_CONNECTION
        | PLUGIN_AUTH
        | CONNECT_ATTRIBUTES;
    let mut capabilities = wanted & greeting.capabilities;
    let own = EXTENDED_METADATA & greeting.own;
    packets.extended = own != 0;
    if let Place::Tcp(host, _) = &address.place
        && address.mode != SslMode::Disabled
    {
        if greeting.capabilities & TLS != 0 {
            capabilities |= TLS;
            packets.put(&[&head(capabilities, own)])?;
            packets.flush()?;
            packets.secure(tls::config(address).map_err(Failure::Refused)?, host).map_err(Failure::Tls)?;
        } else if address.mode != SslMode::Preferred {
            return Err(Failure::NoTls);
        }
    }
    let password = address.password.as_deref().unwrap_or_default();
    let answer = proof(&greeting.plugin, password, &greeting.scramble, trust(address, &packets)).unwrap_or_default();
    let mut hello = head(capabilities, own).to_vec();
    hello.extend(address.user.as_bytes());
    hello.push(0);
    // No answer of any method is longer than 255 bytes, but a password in clear is.
    let answer = if answer.len() > 250 { Vec::new() } else { answer };
    hello.push(answer.len() as u8);
    hello.extend(&answer);
    if capabilities & CONNECT_WITH_DB != 0 {
        hello.extend(address.database.as_bytes());
        hello.push(0);
    }
    if capabilities & PLUGIN_AUTH != 0 {
        hello.extend(greeting.plugin.as_bytes());
        hello.push(0);
    }
    if capabilities & CONNECT_ATTRIBUTES != 0 {
        let mut attributes = Vec::new();
        for text in ["program_name", application, "_pid", &std::process::id().to_string()] {
            let text = &text.as_bytes()[..text.len().min(250)];
            attributes.push(text.len() as u8);
            attributes.extend(text);
        }
        // Its own length, in the form that holds more than 250.
        hello.push(0xfc);
        hello.extend((attributes.len() as u16).to_le_bytes());
        hello.extend(attributes);
    }
    packets.put(&[&hello])?;
    packets.flush()?;
    let trust = trust(address, &packets);
    identify(&mut packets, greeting, password, trust)?;
    packets.patience(None)?;
    Ok(packets)
}

/// The fixed part of an answer to the greeting, which TLS is asked for with.
fn head(capabilities: u32, own: u32) -> [u8; 32] {
    let mut head = [0; 32];
    head[..4].copy_from_slice(&capabilities.to_le_bytes());
    head[4..8].copy_from_slice(&(1_u32 << 24).to_le_bytes());
    head[8] = UTF8MB4;
    head[28..].copy_from_slice(&own.to_le_bytes());
    head
}

fn greeting(bytes: &[u8]) -> Result<Greeting, Failure> {
    if bytes.first() == Some(&0xff) {
        return Err(failure_of(bytes));
    }
    let mut fields = Fields::of(bytes);
    if fields.byte()? != 10 {
        return Err(Failure::Protocol("it greets in a protocol that is not understood"));
    }
    fields.until_zero()?;
    fields.take(4)?;
    let mut scramble = fields.take(8)?.to_vec();
    fields.take(1)?;
    let low = fields.take(2)?;
    let low = u32::from(u16::from_le_bytes([low[0], low[1]]));
    fields.take(3)?;
    let high = fields.take(2)?;
    let capabilities = low | u32::from(u16::from_le_bytes([high[0], high[1]])) << 16;
    let length = usize::from(fields.byte()?);
    fields.take(6)?;
    let own = fields.take(4)?;
    // MariaDB does not claim the first of the common ones; MySQL keeps these bytes zero.
    let own = if capabilities & LONG_PASSWORD == 0 { u32::from_le_bytes([own[0], own[1], own[2], own[3]]) } else { 0 };
    if capabilities & SECURE_CONNECTION == 0 || capabilities & PROTOCOL_41 == 0 {
        return Err(Failure::Protocol("it speaks a protocol older than MySQL 4.1's"));
    }
    scramble.extend(fields.take(length.saturating_sub(8).max(13))?);
    scramble.truncate(20);
    let plugin = if capabilities & PLUGIN_AUTH != 0 { fields.until_zero().unwrap_or_default() } else { &[] };
    let plugin = String::from_utf8_lossy(plugin).into_owned();
    Ok(Greeting { scramble, capabilities, own, plugin })
}

/// Until the server says that it believes who this is, or that it does not.
fn identify(packets: &mut Packets, mut greeting: Greeting, password: &str, trust: Trust) -> Result<(), Failure> {
    loop {
        let packet = packets.next()?;
        let bytes = packets.bytes(packet);
        let mut fields = Fields::of(bytes);
        match fields.byte()? {
            0x00 => return Ok(()),
            0xff => return Err(failure_of(bytes)),
            // Another method, with other bytes to scramble with.
            0xfe => {
                let plugin = String::from_utf8_lossy(fields.until_zero()?).into_owned();
                let mut scramble = fields.rest().to_vec();
                scramble.truncate(20);
                greeting = Greeting { scramble, plugin, ..greeting };
                let Some(answer) = proof(&greeting.plugin, password, &greeting.scramble, trust) else {
                    return Err(Failure::Method(greeting.plugin));
                };
                packets.put(&[&answer])?;
                packets.flush()?;
            }
            // `caching_sha2_password`: the server knows the password, or wants to be told it.
            0x01 => match fields.byte()? {
                3 => {}
                4 if trust != Trust::Open => {
                    packets.put(&[password.as_bytes(), &[0]])?;
                    packets.flush()?;
                }
                4 => return Err(Failure::Clear),
                _ => return Err(Failure::Method(greeting.plugin)),
            },
            _ => return Err(Failure::Protocol("it answers who this is with what is not understood")),
        }
    }
}

/// Who could be at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Anybody, and anybody reads along.
    Open,
    /// Anybody, and nobody else reads along: a certificate was not asked for.
    Private,
    /// Whose certificate was checked.
    Known,
    /// A program of this machine.
    Socket,
}

fn trust(address: &Address, packets: &Packets) -> Trust {
    match address.mode {
        _ if packets.is_socket() => Trust::Socket,
        SslMode::VerifyCa | SslMode::VerifyIdentity if packets.is_private() => Trust::Known,
        _ if packets.is_private() => Trust::Private,
        _ => Trust::Open,
    }
}

/// What proves that the password is known; `None` where the method is not, or would hand the password to whoever asks for
/// it: a server that says it wants it in clear gets it only where it is known who that is.
fn proof(plugin: &str, password: &str, scramble: &[u8], trust: Trust) -> Option<Vec<u8>> {
    let secret = password.as_bytes();
    match plugin {
        "mysql_native_password" | "caching_sha2_password" if secret.is_empty() => Some(Vec::new()),
        "mysql_native_password" => {
            let once = digest(&SHA1, secret);
            let twice = digest(&SHA1, once.as_ref());
            let mask = digest(&SHA1, &[scramble, twice.as_ref()].concat());
            Some(crossed(once.as_ref(), mask.as_ref()))
        }
        "caching_sha2_password" => {
            let once = digest(&SHA256, secret);
            let twice = digest(&SHA256, once.as_ref());
            let mask = digest(&SHA256, &[twice.as_ref(), scramble].concat());
            Some(crossed(once.as_ref(), mask.as_ref()))
        }
        "mysql_clear_password" | "dialog" if matches!(trust, Trust::Known | Trust::Socket) => {
            Some([secret, &[0]].concat())
        }
        // The server asks the operating system who is at the other end.
        "auth_socket" | "unix_socket" if trust == Trust::Socket => Some(Vec::new()),
        _ => None,
    }
}

fn crossed(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a ^ b).collect()
}
