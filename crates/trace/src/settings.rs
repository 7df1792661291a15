//! What the environment says, in OpenTelemetry's own variables. Headers, the service's name, attributes of the resource and
//! sampling are read by its library.

use floodmark_core::outlet::WebUrl;

/// Where everything of OpenTelemetry goes: the collector, without the path of traces.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where traces go: the whole address.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// The one protocol that is spoken, and the default of the specification.
const SPOKEN: &str = "http/protobuf";

/// A variable of the environment.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where traces go; `Ok(None)` where nobody wants any. Unlike the specification's, the default is nowhere: who has not set up a
/// collector is not to find attempts to reach one.
///
/// # Errors
/// Why they cannot go where they are wanted, in a sentence without a full stop.
pub(crate) fn endpoint(lookup: Lookup<'_>) -> Result<Option<WebUrl>, String> {
    // An empty one counts as none, everywhere in the specification.
    let given = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let (name, address) = match (given(TRACES_ENDPOINT), given(ENDPOINT)) {
        (Some(address), _) => (TRACES_ENDPOINT, address),
        (None, Some(address)) => (ENDPOINT, format!("{}/v1/traces", address.trim_end_matches('/'))),
        (None, None) => return Ok(None),
    };
    if given(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let exporters = given(EXPORTER).unwrap_or_else(|| "otlp".to_owned());
    match exporters.split(',').map(str::trim).collect::<Vec<_>>() {
        names if names.contains(&"otlp") => {}
        names if names.contains(&"none") => return Ok(None),
        _ => return Err(format!("{EXPORTER} is none of `otlp` and `none`")),
    }
    if let Some((name, _)) = PROTOCOLS.iter().find_map(|name| Some((name, given(name)?))).filter(|(_, is)| is != SPOKEN)
    {
        return Err(format!("{name} is not {SPOKEN}, which alone is spoken: set {name}={SPOKEN}, and the port for it"));
    }
    WebUrl::parse(&address)
        .map(Some)
        .map_err(|_| format!("{name} is no address of the web: write one such as http://collector:4318"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        endpoint(&lookup).map(|url| url.map(|url| url.written().to_owned()))
    }

    #[test]
    fn traces_go_where_the_standard_variables_say() {
        let to = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(of(&[(ENDPOINT, "http://c:4318")]), to("http://c:4318/v1/traces"));
        assert_eq!(of(&[(ENDPOINT, " http://c:4318/base/ ")]), to("http://c:4318/base/v1/traces"));
        let both = [(ENDPOINT, "http://c:4318"), (TRACES_ENDPOINT, "https://t/here?key=1")];
        assert_eq!(of(&both), to("https://t/here?key=1"));
        assert_eq!(of(&[(ENDPOINT, "http://c:4318"), (TRACES_ENDPOINT, "")]), to("http://c:4318/v1/traces"));
        assert_eq!(of(&[(ENDPOINT, "http://c"), (EXPORTER, "console, otlp")]), to("http://c/v1/traces"));
        let spoken = [(ENDPOINT, "http://c"), (PROTOCOLS[0], SPOKEN), (PROTOCOLS[1], "grpc")];
        assert_eq!(of(&spoken), to("http://c/v1/traces"));
        assert_eq!(of(&[(ENDPOINT, "http://c"), (DISABLED, "false")]), to("http://c/v1/traces"));
    }

    #[test]
    fn nobody_is_sent_what_he_does_not_want() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[(EXPORTER, "otlp"), (PROTOCOLS[1], "grpc")]), Ok(None), "no endpoint, no complaint");
        assert_eq!(of(&[(ENDPOINT, "http://c"), (EXPORTER, "none")]), Ok(None));
        assert_eq!(of(&[(ENDPOINT, "nowhere"), (DISABLED, "TRUE")]), Ok(None));
    }

    #[test]
    fn what_cannot_be_done_is_said_without_a_secret() {
        for (variables, told) in [
            ([(ENDPOINT, "c:4317/s3cret"), (DISABLED, "")], "OTEL_EXPORTER_OTLP_ENDPOINT is no address"),
            ([(TRACES_ENDPOINT, "ftp://s3cret"), (DISABLED, "no")], "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no address"),
            ([(ENDPOINT, "http://c"), (PROTOCOLS[1], "grpc")], "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf"),
            ([(ENDPOINT, "http://c"), (EXPORTER, "zipkin")], "OTEL_TRACES_EXPORTER is none of"),
        ] {
            let why = of(&variables).unwrap_err();
            assert!(why.starts_with(told) && !why.contains("s3cret"), "{why}");
        }
    }
}
