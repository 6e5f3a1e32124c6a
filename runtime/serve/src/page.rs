//! `GET /`: a page for people, with the model's facts, and a form that asks it. It is one answer without anything from
//! elsewhere, and its policy lets it run no other script. In goes the shared state; out comes HTML.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{error::ApiError, state::State};

const TEMPLATE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");

const CURVES_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// The page around the facts.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let (before, after) = TEMPLATE.split_once("FACTS").unwrap_or((TEMPLATE, ""));
    (before.to_owned(), after.replace("SCRIPT", SCRIPT))
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let script = STANDARD.encode(Sha256::digest(SCRIPT));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

pub async fn page(state: web::Data<State>) -> HttpResponse {
    let (before, after) = &*PAGE;
    // nothing in the facts may end the element that they are in
    let facts = facts(&state).to_string().replace('<', "\\u003c");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body([before.as_str(), &facts, after].concat())
}

/// `GET /curves.svg`: the curves of the training. Whoever trained wrote the picture, so its policy lets nothing in it run, load
/// or open anything, and the page shows it as an image only.
pub async fn curves(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let served = state.served().map_err(ApiError::NotReady)?;
    let none =
        || ApiError::NotFound("the model has no curves: they are of networks that were trained".to_owned());
    let content = served.about.curves.clone().ok_or_else(none)?;
    Ok(HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CONTENT_SECURITY_POLICY, CURVES_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(content))
}

fn facts(state: &State) -> Value {
    let settings = &state.settings;
    let mut facts = json!({
        "model": settings.model,
        "version": settings.version,
        "digest": state.digest(),
        "path": infer_path(&settings.model),
    });
    let more = match state.ready() {
        Err(reason) => json!({ "notReady": reason }),
        Ok(served) => json!({
            "executionProvider": served.loaded.execution_provider,
            "inputs": served.signature.inputs,
            "outputs": served.signature.outputs,
            "metrics": served.about.metrics,
            "confusion": served.about.confusion,
            "examples": served.about.examples,
            "curves": served.about.curves.is_some(),
        }),
    };
    if let (Some(facts), Value::Object(more)) = (facts.as_object_mut(), more) {
        facts.extend(more);
    }
    facts
}

/// The path of predictions, without a slash before it: a proxy may serve it below another path.
pub fn infer_path(model: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(model.as_bytes()).collect();
    format!("v2/models/{}/infer", encoded.replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_cannot_end_its_element_and_the_template_has_its_places() {
        assert!(!SCRIPT.contains("</"), "an end tag in the script ends the script");
        assert_eq!((TEMPLATE.matches("FACTS").count(), TEMPLATE.matches("SCRIPT").count()), (1, 1));
        assert!(PAGE.1.contains("\"use strict\"") && POLICY.contains("sha256-"));
    }

    #[test]
    fn any_name_of_a_model_is_one_segment_of_the_path() {
        assert_eq!(infer_path("digits"), "v2/models/digits/infer");
        assert_eq!(infer_path("a b/c?"), "v2/models/a%20b%2Fc%3F/infer");
    }
}
