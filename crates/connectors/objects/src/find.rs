//! From patterns to objects.

use crate::{
    failure,
    place::{Kind, Place},
    runtime,
};
use floodmark_connect::{Slice, Stop};
use floodmark_core::{Code, Error, Result};
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use std::time::Duration;
use tokio::time::timeout;

/// As for files: `*` stays within a name.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// How often a list that does not go on looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How many names a message may look through, and repeat.
const LOOKED_AT: usize = 1000;
const SHOWN: usize = 5;

/// The objects that match, as they are listed.
pub(crate) fn find(store: &dyn ObjectStore, place: &Place, stop: &Stop) -> Result<Vec<Slice>> {
    if !place.is_pattern() {
        if place.root.kind != Kind::Web && (place.key.is_empty() || place.key.ends_with('/')) {
            let name = place.name(&place.key);
            return Err(Error::new(Code::BadUrl, format!("{name} names no object"))
                .state("nothing was read or written")
                .help(format!("name one, or many with a pattern such as {name}**/*.csv")));
        }
        let path = place.path()?;
        return match runtime()?.block_on(store.head(&path)) {
            Ok(meta) => Ok(vec![slice(place, meta)]),
            Err(object_store::Error::NotFound { .. }) => Err(missing(store, place)),
            Err(e) => Err(failure::of("look at", &place.name(&place.key), e)),
        };
    }
    let pattern = Pattern::new(&place.key).map_err(|e| {
        Error::new(Code::BadArgument, format!("{:?} is not a pattern: {}", place.key, e.msg))
            .help("`*` and `?` match within a name, `**/` any folders, `[ab]` one of these characters")
    })?;
    let mut found = Vec::new();
    let prefix = place.prefix();
    let listing = async {
        let mut listed = store.list(prefix.as_ref());
        loop {
            // A page may be long in coming, and whoever wants to stop does not wait for it.
            let next = timeout(LOOK, listed.try_next()).await;
            stop.check()?;
            let Ok(next) = next else { continue };
            let Some(meta) = next.map_err(|e| failure::of("list", &place.root.url, e))? else { break };
            let key = meta.location.as_ref();
            // Tools make empty objects that stand for folders.
            if pattern.matches_with(key, MATCHING) && !key.ends_with('/') {
                found.push(slice(place, meta));
            }
        }
        Ok::<_, Error>(())
    };
    runtime()?.block_on(listing)?;
    if found.is_empty() {
        return Err(missing(store, place));
    }
    Ok(found)
}

fn slice(place: &Place, meta: ObjectMeta) -> Slice {
    let name = place.name(meta.location.as_ref());
    Slice {
        path: name.clone().into(),
        name,
        size: meta.size,
        modified: meta.last_modified.timestamp_nanos_opt().unwrap_or_default(),
        // A weak one may be that of other bytes, and no server takes it as a condition.
        tag: meta.e_tag.filter(|tag| !tag.starts_with("W/")).map(quoted),
    }
}

/// As HTTP has it: lists of Azure tell a tag without its quotes, which is another one than that of the object.
fn quoted(tag: String) -> String {
    if tag.starts_with('"') { tag } else { format!("\"{tag}\"") }
}

/// Says what there is in place of it.
fn missing(store: &dyn ObjectStore, place: &Place) -> Error {
    let url = &place.root.url;
    let error = Error::new(Code::SourceMissing, format!("no object matches {:?}", place.name(&place.key)));
    let folder = place.prefix().or_else(|| Path::parse(place.key.rsplit_once('/')?.0).ok());
    let shown = folder.as_ref().map_or_else(|| url.clone(), |folder| format!("{url}/{folder}"));
    let near = async {
        let mut listed = store.list(folder.as_ref());
        let mut names = Vec::new();
        while names.len() < LOOKED_AT
            && let Some(meta) = listed.try_next().await?
        {
            names.push(meta.location.to_string());
        }
        Ok::<_, object_store::Error>(names)
    };
    let Ok(Ok(names)) = runtime().map(|runtime| runtime.block_on(near)) else {
        return error.help(format!("check the path; what is below {shown} may not be listed"));
    };
    match names.as_slice() {
        [] => error.help(format!("check the path: there is nothing below {shown}")),
        names => {
            let first: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
            error.help(format!("check the path: below {shown} there is {}", first.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_a_list_is_that_of_the_object() {
        assert_eq!(quoted("0x8DC".to_owned()), "\"0x8DC\"");
        assert_eq!(quoted("\"0x8DC\"".to_owned()), "\"0x8DC\"");
    }
}
