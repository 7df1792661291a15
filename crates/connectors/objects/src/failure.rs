//! From a store's errors to ours.

use floodmark_core::{Code, Error};
use object_store::Error as StoreError;

/// What a store said to a request. `doing` completes "the store failed to …".
pub(crate) fn of(doing: &str, name: &str, error: StoreError) -> Error {
    let words = words(&error);
    if let Some((what, help)) = of_credentials(&words) {
        return Error::new(Code::SourceRead, what).in_file(name).help(help).cause(words);
    }
    let (what, help) = match &error {
        // A bucket that is not there is told as a request that failed.
        _ if ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| words.contains(code)) => (
            "there is no such bucket".to_owned(),
            "check its name, and the endpoint and account that it is looked for at",
        ),
        StoreError::NotFound { .. } => (
            "the object is gone".to_owned(),
            "it was there when the source was listed: run again; writers should not delete what is still to be loaded",
        ),
        // Azurite tells of one that is gone as of one that is another now.
        StoreError::Precondition { .. } | StoreError::NotModified { .. } => (
            "the object was replaced or removed while it was being read".to_owned(),
            "run again when it is complete; writers should write new objects in place of changing those that are there",
        ),
        StoreError::InvalidPath { .. } => (
            "the store has a key that is no path".to_owned(),
            "rename it: keys have no empty parts and no `.` or `..` between slashes",
        ),
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (format!("the store cannot {doing} it"), "a web server is not listed: name each file by its whole URL")
        }
        _ => (
            format!("the store failed to {doing} it"),
            "it was tried again where that may help; check the endpoint, the region and the network",
        ),
    };
    let code = if matches!(error, StoreError::NotFound { .. }) { Code::SourceMissing } else { Code::SourceRead };
    Error::new(code, what).in_file(name).help(help).cause(words)
}

/// Of credentials that are wrong, or were right once and elsewhere, stores tell by their own codes and by various statuses: what
/// it is, and what to do. The client has words for it alone: it tells of a list that is refused as of any request that failed.
pub fn of_credentials(words: &str) -> Option<(&'static str, &'static str)> {
    // Where none are found the client asks the server that gives them to machines of the cloud; elsewhere nobody answers there,
    // or somebody refuses.
    if ["//169.254.169.254", "//169.254.170.2", "//metadata.google.internal"]
        .iter()
        .any(|server| words.contains(server))
    {
        return Some((
            "there are no credentials for the store",
            "they are looked for in the connection's URL, in the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, \
             AZURE_STORAGE_ACCOUNT_KEY, …), in ~/.aws, and at the metadata server of a machine in the cloud; for what everybody \
             may read: anonymous=true in the URL of a connection",
        ));
    }
    // Delta's log is read by others, who tell of an answer with its markup.
    let is_code = |code: &&str| words.contains(&format!(": {code}: ")) || words.contains(&format!(">{code}<"));
    let has = |codes: &[&str]| codes.iter().any(is_code);
    if has(&["ExpiredToken", "TokenRefreshRequired", "InvalidToken"]) {
        return Some((
            "the store's credentials are expired",
            "log in again, or see to it that what gives them gives new ones for as long as a run takes",
        ));
    }
    if has(&["RequestTimeTooSkewed", "RequestExpired"]) {
        return Some((
            "the clock of this machine is not that of the store",
            "set the clock: a store takes no request that was signed a quarter of an hour before or after its own time",
        ));
    }
    // Azure has the status of those who may not for keys that are wrong; Azurite has the code as well.
    let unknown = has(&["AuthenticationFailed", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
        || words.contains("failed to authenticate the request");
    if unknown || words.contains("status code: 401") {
        return Some((
            "the store does not know these credentials, or they are expired",
            "log in again, or give credentials as the store's own tools take them; for what everybody may read: anonymous=true \
             in the URL of a connection",
        ));
    }
    words.contains("status code: 403").then_some((
        "the store does not let these credentials do that",
        "a source is listed and read (s3:ListBucket, s3:GetObject and their like); a lake is listed, read, written and deleted \
         from: give them the rights for that, and see that they are not expired",
    ))
}

/// Whether the store has said for certain that it did not do what it was asked for.
pub fn is_refused(error: &StoreError) -> bool {
    match error {
        StoreError::PermissionDenied { .. }
        | StoreError::Unauthenticated { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::InvalidPath { .. }
        | StoreError::NotFound { .. } => true,
        StoreError::Generic { .. } => words(error).contains("status code: 400"),
        _ => false,
    }
}

/// What is said of a failure, without what was sent: a request may hold what signs it.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        if !words.contains(&said) {
            if !words.is_empty() {
                words.push_str(": ");
            }
            words.push_str(&said);
        }
        next = error.source();
    }
    without_signature(without_queries(&without_markup(words)))
}

/// Of an answer in XML its code and its message: `CODE: MESSAGE`.
fn without_markup(words: String) -> String {
    let end = "</Error>";
    let begin = words.find("<?xml").or_else(|| words.find("<Error"));
    let Some((begin, behind)) = begin.zip(words.rfind(end).map(|at| at + end.len())).filter(|(a, b)| a < b) else {
        return words;
    };
    let part = |name: &str| {
        let (_, rest) = words[begin..behind].split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(text, _)| text.trim())
    };
    match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => {
            // Azure's begin with a mark of their encoding.
            let before = words[..begin].trim_end_matches('\u{feff}');
            format!("{before}{code}: {message}{}", &words[behind..])
        }
        _ => words,
    }
}

/// Azure repeats what signed a request where it does not agree.
fn without_signature(words: String) -> String {
    let before = "signature found in the HTTP request '";
    match words.split_once(before).and_then(|(head, rest)| Some((head, rest.split_once('\'')?.1))) {
        Some((head, tail)) => format!("{head}{before}…'{tail}"),
        None => words,
    }
}

/// A URL's query may be what gives access.
pub fn without_queries(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for word in words.split_inclusive(' ') {
        match word.split_once("://").and_then(|_| word.split_once('?')) {
            Some((before, _)) => {
                out.push_str(before);
                out.push_str("?… ");
            }
            None => out.push_str(word),
        }
    }
    out.trim_end().to_owned()
}

pub(crate) fn threads(error: &std::io::Error) -> Error {
    Error::new(Code::SourceRead, "no threads can be made for requests")
        .state("nothing was read or written")
        .help("see the limits for this user (ulimit -u) and the memory that is free")
        .cause(error.to_string())
}

/// One of ours on its way through a reader.
pub(crate) fn carried(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signs_a_request_is_not_repeated() {
        let source = "error for url (https://host/a?sig=geheim&se=1): gone".into();
        let error = of("read", "az://c/a", StoreError::Generic { store: "Azure", source });
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        let source = "The MAC signature found in the HTTP request 'geheim=' is not the same as any computed".into();
        let error = of("read", "az://c/a", StoreError::Generic { store: "Azure", source });
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        assert!(format!("{error:?}").contains("request '…' is not the same"), "{error:?}");
    }

    #[test]
    fn of_markup_the_code_and_the_message_are_told() {
        let body =
            "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>No.\nTime:1</Message><Id>7</Id></Error>";
        let source = format!("status code: 403 Forbidden: \u{feff}{body}").into();
        let told = words(&StoreError::Generic { store: "S3", source });
        assert_eq!(told, "Generic S3 error: status code: 403 Forbidden: AccessDenied: No.\nTime:1");
        assert_eq!(without_markup("<Error>".to_owned()), "<Error>");
        assert_eq!(without_markup("</Error><Error>".to_owned()), "</Error><Error>");
    }

    #[test]
    fn who_is_not_known_and_who_may_not_are_told_apart() {
        let of = |words: &str| of_credentials(&format!("Server returned non-2xx {words}")).map(|(what, _)| what);
        let unknown = Some("the store does not know these credentials, or they are expired");
        assert_eq!(of("status code: 403 Forbidden: SignatureDoesNotMatch: no."), unknown);
        assert_eq!(of("status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code></Error>"), unknown);
        assert_eq!(of("status code: 401 Unauthorized: "), unknown);
        let may_not = Some("the store does not let these credentials do that");
        assert_eq!(of("status code: 403 Forbidden: AccessDenied: no."), may_not);
        assert_eq!(of("status code: 404 Not Found: "), None);
        // Not what the store says, but who gives credentials to machines.
        let metadata = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - ";
        let none = of_credentials(&format!("{metadata}Server returned non-2xx status code: 403 Forbidden: "));
        assert!(none.is_some_and(|(what, help)| what.starts_with("there are no") && help.contains("~/.aws")));
    }
}
