//! What is the same for all paths: who is let in, and how it is told what cannot be answered.

use utoipa::{
    Modify,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        schema::{AdditionalProperties, AllOfBuilder, AnyOfBuilder, ObjectBuilder, Schema, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// What the token is called.
const BEARER: &str = "token";

/// Behind this a path leads into a pipeline's ledger: all of these end alike where that cannot be looked into.
const LEDGER: &str = "/pipelines/{name}/";

/// Adds it to every path.
pub(super) struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let changes = item.post.is_some();
            let looks = item.get.is_some() && path.contains(LEDGER);
            for operation in operations(item) {
                let asks = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
                let changes = changes && operation.responses.responses.contains_key("202");
                let all = [
                    (true, "401", "A token is needed."),
                    (asks || operation.request_body.is_some(), "400", "The request cannot be read."),
                    (changes, "403", "It comes from another site."),
                    (looks, "404", "There is no such pipeline, or nothing of it with that number."),
                    (looks, "409", "The pipeline cannot be run as the file is."),
                    (looks, "502", "The ledger cannot be read."),
                    (looks, "503", "A run has the database for itself."),
                    (true, "421", "The server is not known by that name."),
                    (true, "504", "The answer took too long."),
                ];
                for (_, status, what) in all.into_iter().filter(|(has, ..)| *has) {
                    let responses = &mut operation.responses.responses;
                    responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refused(what)));
                }
            }
        }
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Where the server was started with --token-env."))
            .build();
        let components = document.components.get_or_insert_default();
        if let Some(RefOr::T(Schema::OneOf(tasks))) = components.schemas.get_mut("Task") {
            tasks.items.iter_mut().for_each(task);
        }
        components.security_schemes.insert(BEARER.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    }
}

/// The document of a server that asks for the token.
pub(super) fn asking(mut document: OpenApi) -> OpenApi {
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
    document
}

/// What a task's type cannot say of itself: that it has no other fields, and that a backfill has a range or what is missing.
fn task(described: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = described else { return };
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    if object.properties.contains_key("missing") {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let range =
            ObjectBuilder::new().property("from", text()).property("to", text()).required("from").required("to");
        let is = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true]));
        let missing = ObjectBuilder::new().property("missing", is).required("missing");
        let either = AnyOfBuilder::new().item(range).item(missing);
        let all = AllOfBuilder::new().item(object.clone()).item(either);
        *described = RefOr::T(all.into());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

fn refused(what: &str) -> Response {
    let error = Content::new(Some(Ref::from_schema_name("ErrorView")));
    ResponseBuilder::new().description(what).content("application/json", error).build()
}
