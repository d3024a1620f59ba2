//! Prints the OpenAPI document of the REST interface, as it is committed at `docs/openapi.json`.

fn main() {
    print!("{}", holm_rest::openapi_json());
}
