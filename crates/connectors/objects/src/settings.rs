//! From a bucket's URL, the settings of a connection and the environment to a store that answers.
//!
//! What is written in the connection comes before the environment, and that before the files and servers of the cloud that
//! give credentials to who runs there. Names are those of the store's own tools.

mod address;
mod profile;

use crate::{
    patient::Patient,
    place::{Kind, Root},
};
use floodmark_core::{Code, Error, Result, url::ConnectionUrl};
use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
};
use std::{env, sync::Arc, time::Duration};

/// How long a request that fails for a while is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server may be silent.
const SILENT: Duration = Duration::from_secs(30);

/// A setting behind the question mark of a connection's URL, and the name that the store's client has for it.
type Setting = (&'static str, &'static str);

const S3: [Setting; 8] = [
    // By the name that counts where the environment has both.
    ("endpoint", "aws_endpoint_url_s3"),
    ("region", "aws_region"),
    ("anonymous", "aws_skip_signature"),
    ("access_key_id", "aws_access_key_id"),
    ("secret_access_key", "aws_secret_access_key"),
    ("session_token", "aws_session_token"),
    ("virtual_hosted", "aws_virtual_hosted_style_request"),
    ("profile", PROFILE),
];
const GOOGLE: [Setting; 3] = [
    ("endpoint", "google_base_url"),
    ("anonymous", "google_skip_signature"),
    ("service_account", "google_service_account"),
];
const AZURE: [Setting; 6] = [
    ("endpoint", "azure_endpoint"),
    ("anonymous", "azure_skip_signature"),
    ("account", "azure_storage_account_name"),
    ("account_key", "azure_storage_account_key"),
    ("sas_token", "azure_storage_sas_key"),
    ("emulator", "azure_storage_use_emulator"),
];

/// Not a setting of the client: a name in the files of the AWS command line.
const PROFILE: &str = "profile";

/// A setting that was written, as the store's client calls it, with its value.
type Written = (&'static str, String);

/// Opens a bucket. Nothing is asked of it yet.
pub(crate) fn open(root: &Root, connection: Option<&ConnectionUrl>) -> Result<Arc<dyn ObjectStore>> {
    let (known, service): (&[Setting], _) = match root.kind {
        Kind::S3 => (&S3, "Amazon S3"),
        Kind::Google => (&GOOGLE, "Google Cloud Storage"),
        Kind::Azure => (&AZURE, "Azure Blob Storage"),
        Kind::Web => (&[], "a web server"),
    };
    let written = written(root, connection, known)?;
    let built: Result<Arc<dyn ObjectStore>, object_store::Error> = match root.kind {
        Kind::S3 => s3(root, written)?.build().map(|store| Arc::new(store) as _),
        Kind::Google => google(root, written)?.build().map(|store| Arc::new(store) as _),
        Kind::Azure => azure(root, written)?.build().map(|store| Arc::new(store) as _),
        Kind::Web => {
            address::check_web(&root.url)?;
            let builder = HttpBuilder::new().with_url(&root.url).with_retry(retry());
            builder.with_client_options(client(&root.url)).build().map(|store| Arc::new(store) as _)
        }
    };
    built.map(|store| Arc::new(Patient(store)) as Arc<dyn ObjectStore>).map_err(|e| {
        Error::new(Code::SourceRead, format!("{} cannot be reached with the settings there are", root.url))
            .state("nothing was written")
            .help(format!("see what {service} needs: credentials, a region, an account; docs/sources/objects.md says where they are looked for"))
            .cause(e.to_string())
    })
}

fn written(root: &Root, connection: Option<&ConnectionUrl>, known: &[Setting]) -> Result<Vec<Written>> {
    let Some((_, query)) = connection.and_then(|url| url.written().split_once('?')) else { return Ok(Vec::new()) };
    let mut written = Vec::new();
    // A plus is one, as in any URL but that of a form: keys have them, and come as they are out of `${VAR}`.
    for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
        let Some((_, key)) = known.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let help = match names.as_slice() {
                [] => "there are none for a web server: take out what stands behind the question mark".to_owned(),
                names => format!("the settings are {}", names.join(", ")),
            };
            return Err(Error::new(Code::BadUrl, format!("{} has no setting {name:?}", root.url)).help(help));
        };
        written.push((*key, value.into_owned()));
    }
    let has = |name: &str| written.iter().any(|(key, value)| *key == name && !value.eq_ignore_ascii_case("false"));
    if has("azure_storage_use_emulator") && has("azure_endpoint") {
        return Err(Error::new(Code::BadUrl, format!("{} has both an endpoint and an emulator", root.url)).help(
            "an emulator is looked for at AZURITE_BLOB_STORAGE_URL, else at port 10000 of this machine; with an endpoint give \
             account and account_key",
        ));
    }
    Ok(written)
}

fn s3(root: &Root, written: Vec<Written>) -> Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::from_env().with_url(&root.url).with_retry(retry());
    let mut profile = env::var("AWS_PROFILE").ok();
    for (key, value) in written {
        match key.parse::<AmazonS3ConfigKey>() {
            Ok(key) => builder = builder.with_config(key, value),
            Err(_) => profile = Some(value),
        }
    }
    let has = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some();
    // Keys that are said come before a profile's; one that is asked for by name must be there.
    if !has(&builder, AmazonS3ConfigKey::AccessKeyId)
        && let Some(found) = profile::find(profile.as_deref())?
    {
        let values = [
            (AmazonS3ConfigKey::AccessKeyId, found.access_key_id),
            (AmazonS3ConfigKey::SecretAccessKey, found.secret_access_key),
            (AmazonS3ConfigKey::Token, found.session_token),
            (AmazonS3ConfigKey::Region, found.region.filter(|_| !has(&builder, AmazonS3ConfigKey::Region))),
            (AmazonS3ConfigKey::Endpoint, found.endpoint.filter(|_| s3_endpoint(&builder).is_none())),
        ];
        for (key, value) in values {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
    }
    let says = |key| builder.get_config_value(&key);
    let endpoint = s3_endpoint(&builder);
    let others = [says(AmazonS3ConfigKey::MetadataEndpoint), says(AmazonS3ConfigKey::StsEndpoint)];
    endpoint.iter().chain(others.iter().flatten()).try_for_each(|endpoint| address::check(endpoint))?;
    let bucket = root.url.split_once("://").map(|(_, bucket)| bucket.to_owned());
    address::check_word("the bucket's name", bucket, |c| c.is_ascii_alphanumeric() || "-._".contains(c))?;
    address::check_word("the region", says(AmazonS3ConfigKey::Region), |c| c.is_ascii_alphanumeric() || c == '-')?;
    address::check_word("the access key's ID", says(AmazonS3ConfigKey::AccessKeyId), |c| c.is_ascii_graphic())?;
    address::check_word("the session's token", says(AmazonS3ConfigKey::Token), |c| c.is_ascii_graphic())?;
    let relative = says(AmazonS3ConfigKey::ContainerCredentialsRelativeUri);
    address::check_word("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", relative, |c| c.is_ascii_graphic())?;
    if let Some(full) = says(AmazonS3ConfigKey::ContainerCredentialsFullUri) {
        address::check_named("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full)?;
    }
    Ok(builder.with_client_options(client(&endpoint.unwrap_or_default())))
}

/// The environment has two names for it, of which one counts more.
fn s3_endpoint(builder: &AmazonS3Builder) -> Option<String> {
    let of_s3 = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    of_s3.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

fn google(root: &Root, written: Vec<Written>) -> Result<GoogleCloudStorageBuilder> {
    let builder = GoogleCloudStorageBuilder::from_env().with_url(&root.url).with_retry(retry());
    let builder = written.into_iter().fold(builder, |builder, (key, value)| match key.parse::<GoogleConfigKey>() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    });
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    endpoint.as_deref().map_or(Ok(()), address::check)?;
    // The client looks at these by itself.
    for name in ["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"] {
        env::var(name).map_or(Ok(()), |host| address::check_host(name, &host))?;
    }
    Ok(builder.with_client_options(client(&endpoint.unwrap_or_default())))
}

fn azure(root: &Root, written: Vec<Written>) -> Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::from_env().with_url(&root.url).with_retry(retry());
    let builder = written.into_iter().fold(builder, |builder, (key, value)| match key.parse::<AzureConfigKey>() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    });
    let says = |key| builder.get_config_value(&key);
    let endpoint = says(AzureConfigKey::Endpoint);
    let emulated = says(AzureConfigKey::UseEmulator).is_some_and(|value| !value.eq_ignore_ascii_case("false"));
    let emulator = env::var("AZURITE_BLOB_STORAGE_URL").ok().filter(|_| emulated);
    endpoint.iter().chain(&emulator).try_for_each(|endpoint| address::check(endpoint))?;
    address::check_word("the account", says(AzureConfigKey::AccountName), |c| {
        c.is_ascii_alphanumeric() || "-.".contains(c)
    })?;
    for (name, key) in
        [("IDENTITY_ENDPOINT", AzureConfigKey::MsiEndpoint), ("AZURE_AUTHORITY_HOST", AzureConfigKey::AuthorityHost)]
    {
        says(key).map_or(Ok(()), |address| address::check_named(name, &address))?;
    }
    address::check_word("AZURE_TENANT_ID", says(AzureConfigKey::AuthorityId), |c| {
        c.is_ascii_alphanumeric() || "-.".contains(c)
    })?;
    address::check_word("AZURE_STORAGE_TOKEN", says(AzureConfigKey::Token), |c| c.is_ascii_graphic())?;
    address::check_word("IDENTITY_HEADER", env::var("IDENTITY_HEADER").ok(), |c| c.is_ascii_graphic())?;
    Ok(builder.with_client_options(client(&endpoint.unwrap_or_default())))
}

fn retry() -> RetryConfig {
    RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() }
}

/// Without TLS only where the address says so.
fn client(endpoint: &str) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(SILENT)
        .with_connect_timeout(SILENT)
        .with_allow_http(endpoint.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_in_a_secret_is_one() {
        let root = Root { kind: Kind::S3, url: "s3://shop".to_owned() };
        let connection = ConnectionUrl::parse("s3://shop?secret_access_key=a+b/c%2Bd%25=&region=eu").unwrap();
        let written = written(&root, Some(&connection), &S3).unwrap();
        assert_eq!(written, [("aws_secret_access_key", "a+b/c+d%=".to_owned()), ("aws_region", "eu".to_owned())]);
    }
}
