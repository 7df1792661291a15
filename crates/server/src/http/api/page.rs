//! Lists that are told page by page.

use super::ApiError;
use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{StatusCode, request::Parts},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use utoipa::{IntoParams, ToSchema};

/// A page has at most so many.
const MOST: u64 = 1000;
/// So many where nothing is said.
const SOME: usize = 50;

/// How many are asked for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Limit(usize);

impl Limit {
    pub(super) fn of(limit: Option<Limit>) -> usize {
        limit.map_or(SOME, |limit| limit.0)
    }
}

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(limit: u64) -> Result<Self, String> {
        let fits = usize::try_from(limit).ok().filter(|_| (1..=MOST).contains(&limit));
        fits.map(Limit).ok_or_else(|| format!("a limit is a number from 1 to {MOST}"))
    }
}

/// A number that a ledger can give.
fn numbered<'de, D: Deserializer<'de>>(given: D) -> Result<Option<u64>, D::Error> {
    let number = u64::deserialize(given)?;
    if i64::try_from(number).is_err() {
        return Err(D::Error::custom("`after` is greater than any number"));
    }
    Ok(Some(number))
}

/// Which part of a list whose items have numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ByNumber {
    /// So many at most; 50 where nothing is said.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    pub(super) limit: Option<Limit>,
    /// Those behind this one: `next` of the page before.
    #[serde(default, deserialize_with = "numbered")]
    after: Option<u64>,
}

impl ByNumber {
    /// The highest number that was told already; 0 from the first.
    pub(super) fn behind(&self) -> i64 {
        self.after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX))
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(super) items: Vec<T>,
    /// What to ask for as `after` to have those behind these; null where these are the last.
    pub(super) next: Option<String>,
}

/// A part of a list whose items have numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Numbered<T> {
    pub(super) items: Vec<T>,
    /// What to ask for as `after` to have those behind these; null where these are the last.
    pub(super) next: Option<i64>,
    /// How many there are in all.
    pub(super) total: u64,
}

/// Takes off what was read to see whether there is more, and says what the last one is called that is left.
pub(super) fn cut<T, K>(items: &mut Vec<T>, limit: usize, name: impl Fn(&T) -> K) -> Option<K> {
    let more = items.len() > limit;
    items.truncate(limit);
    items.last().filter(|_| more).map(name)
}

/// What stands in a path.
pub(in crate::http) struct Within<T>(pub(in crate::http) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Within<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(value)| Within(value)).map_err(|error| ApiError::malformed(error.body_text()))
    }
}

/// What stands behind the question mark.
pub(in crate::http) struct Asked<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Asked(value))
            .map_err(|error| ApiError { status: StatusCode::BAD_REQUEST, message: error.body_text() })
    }
}
