//! What a store's server speaks.

use super::http::encoded;
use std::env;

/// Azurite's account and that account's key, which are the same everywhere.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// What may be done in that account by who has no key, until 2100: made with the key once, so that nothing is signed here.
const ACCOUNT_TOKEN: &str = "sv=2021-12-02&ss=b&srt=sco&sp=rwdlac&se=2100-01-01T00:00:00Z&sig=GR2RDXoeNzulMj8SpEk8Z%2BdRPT7W8lPhZDov%2Ft%2BCyEs%3D";

/// The server of S3's protocol checks no signature, and gives nothing to who has none.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// The protocols of which there is a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// That of Amazon S3.
    S3,
    /// That of Azure Blob Storage.
    Azure,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 2] = [Protocol::S3, Protocol::Azure];

    /// The server's address.
    pub fn url(self) -> Result<String, String> {
        let variable = match self {
            Protocol::S3 => "FLOODMARK_TEST_S3",
            Protocol::Azure => "FLOODMARK_TEST_AZURE",
        };
        env::var(variable).map_err(|_| {
            format!("{variable} is not set: `cargo xtask services up` starts a server and says what to set")
        })
    }

    /// Of a URL.
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::S3 => "s3",
            Protocol::Azure => "az",
        }
    }

    /// What stands before a bucket's name in the path of a request.
    pub(super) fn before(self) -> String {
        match self {
            Protocol::S3 => String::new(),
            Protocol::Azure => format!("/{ACCOUNT}"),
        }
    }

    /// What is to be in no output.
    pub fn secret(self) -> &'static str {
        match self {
            Protocol::S3 => "geheim",
            Protocol::Azure => ACCOUNT_KEY,
        }
    }

    /// The settings of a connection to a server, as they stand behind the question mark.
    pub fn settings(self, server: &str) -> String {
        let secret = encoded(self.secret()).replace('/', "%2F");
        match self {
            Protocol::S3 => format!("endpoint={server}&region=us-east-1&access_key_id=a&secret_access_key={secret}"),
            Protocol::Azure => format!("endpoint={server}/{ACCOUNT}&account={ACCOUNT}&account_key={secret}"),
        }
    }

    /// The same with what gives no access, and a secret that is in it.
    pub fn wrong_settings(self, server: &str) -> Vec<(String, &'static str)> {
        match self {
            // Its server takes any key.
            Protocol::S3 => Vec::new(),
            Protocol::Azure => {
                let account = format!("endpoint={server}/{ACCOUNT}&account={ACCOUNT}");
                vec![
                    (format!("{account}&account_key=Z2VoZWlt"), "Z2VoZWlt"),
                    (format!("{account}&account_key=geheim%21"), "geheim"),
                    (format!("{account}&sas_token=sv%3D2021-12-02%26sr%3Dc%26sig%3DZ2VoZWlt"), "Z2VoZWlt"),
                    (format!("{account}&anonymous=true"), ACCOUNT_KEY),
                    (format!("endpoint={server}/{ACCOUNT}&account=nobody&account_key=Z2VoZWlt"), "Z2VoZWlt"),
                    (format!("endpoint={server}/{ACCOUNT}&account_key=Z2VoZWlt"), "Z2VoZWlt"),
                ]
            }
        }
    }

    /// Settings for who has a token and no key; of S3 the same as any.
    pub fn token(self, server: &str) -> String {
        match self {
            Protocol::S3 => self.settings(server),
            Protocol::Azure => {
                let token = encoded(ACCOUNT_TOKEN).replace('/', "%2F");
                format!("endpoint={server}/{ACCOUNT}&account={ACCOUNT}&sas_token={token}")
            }
        }
    }

    /// A query with what gives access.
    pub(super) fn query(self, parameters: &[(&str, &str)]) -> String {
        let mut all: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        if self == Protocol::Azure {
            all.push(ACCOUNT_TOKEN.to_owned());
        }
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }

    /// Headers of a request that puts an object, or any.
    pub(super) fn headers(self) -> Vec<(String, String)> {
        let headers: &[(&str, &str)] = match self {
            // What is put so may be read by everybody: who asks as Google's client does has nothing that it takes for a key.
            Protocol::S3 => &[("Authorization", AUTHORIZATION), ("x-amz-acl", "public-read")],
            Protocol::Azure => &[("x-ms-version", "2021-12-02"), ("x-ms-blob-type", "BlockBlob")],
        };
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What makes a bucket.
    pub(super) fn making(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Protocol::S3 => &[],
            Protocol::Azure => &[("restype", "container")],
        }
    }

    /// What lists a bucket.
    pub(super) fn listing(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Protocol::S3 => &[("list-type", "2")],
            Protocol::Azure => &[("restype", "container"), ("comp", "list")],
        }
    }
}
