//! Listings, and those of S3 as a store that is not up to date gives them.

use super::request::Asked;

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Of S3 in the form of ISO 8601, which sorts as time does.
    modified: String,
    xml: String,
}

/// The objects of a listing.
pub(super) fn objects(body: &str) -> Vec<Listed> {
    let within = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.to_owned())
    };
    // As S3 writes it, or as Azure does.
    let [item, key, modified] = if body.contains("<EnumerationResults") {
        ["Blob", "Name", "Last-Modified"]
    } else {
        ["Contents", "Key", "LastModified"]
    };
    body.split(&format!("<{item}>"))
        .skip(1)
        .filter_map(|part| part.split_once(&format!("</{item}>")))
        .map(|(xml, _)| Listed {
            key: unescaped(&within(xml, key).unwrap_or_default()),
            modified: within(xml, modified).unwrap_or_default(),
            xml: format!("<{item}>{xml}</{item}>"),
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'").replace("&amp;", "&")
}

/// The same answer with other objects in it.
fn with(body: &str, objects: &[Listed]) -> String {
    let Some((head, _)) = body.split_once("<Contents>").or_else(|| body.split_once("</ListBucketResult>")) else {
        return body.to_owned();
    };
    let tail = body.rsplit_once("</Contents>").map_or("</ListBucketResult>", |(_, tail)| tail);
    format!("{head}{}{tail}", objects.iter().map(|object| object.xml.as_str()).collect::<String>())
}

/// The answer as it was when the store held these objects.
pub(super) fn as_of(body: &str, then: &[Listed], asked: &Asked) -> String {
    let after = asked.parameter("start-after").unwrap_or_default();
    let listed = then.iter().filter(|object| object.key.starts_with(&asked.key) && object.key.as_str() > after);
    with(body, &listed.cloned().collect::<Vec<_>>())
}

/// The answer without its newest objects.
pub(super) fn without_newest(body: &str, count: usize) -> String {
    let all = objects(body);
    let mut newest: Vec<&Listed> = all.iter().collect();
    newest.sort_by(|a, b| (&b.modified, &b.key).cmp(&(&a.modified, &a.key)));
    newest.truncate(count);
    with(body, &all.iter().filter(|object| !newest.contains(object)).cloned().collect::<Vec<_>>())
}

/// The answer with its objects written long ago.
pub(super) fn aged(body: &str) -> String {
    let mut all = objects(body);
    for object in &mut all {
        object.xml = object.xml.replace(&object.modified, "2020-01-01T00:00:00.000Z");
    }
    with(body, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_lacks_what_came_last() {
        let body = "<R><Contents><Key>a</Key><LastModified>2</LastModified></Contents>\
                    <Contents><Key>b&amp;c</Key><LastModified>1</LastModified></Contents><End/></R>";
        let keys = |body: &str| objects(body).into_iter().map(|object| object.key).collect::<Vec<_>>();
        assert_eq!(keys(body), ["a", "b&c"]);
        assert_eq!(keys(&without_newest(body, 1)), ["b&c"]);
        assert!(without_newest(body, 2).ends_with("<R><End/></R>"));
        assert!(aged(body).contains("<LastModified>2020-01-01T00:00:00.000Z"));
        let azure =
            "<EnumerationResults><Blobs><Blob><Name>a&amp;b</Name></Blob></Blobs><NextMarker/></EnumerationResults>";
        assert_eq!(keys(azure), ["a&b"]);
    }
}
