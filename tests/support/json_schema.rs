//! Python's `jsonschema`: a validator of JSON Schema that is not ours.

use serde_json::{Value, json};

use super::Missing;
use super::python::Python;

/// The validator is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonSchema(Python);

impl JsonSchema {
    /// Looks for it.
    pub(crate) fn find() -> Result<Self, Missing> {
        let python = Python::find()?;
        if python.json(PROBE, "") == Value::Bool(true) {
            Ok(Self(python))
        } else {
            Err(Missing("python3 has no jsonschema (Debian: python3-jsonschema)".to_owned()))
        }
    }

    /// What is wrong with each of the documents, in their order; the schema itself must be sound.
    pub(crate) fn faults(self, schema: &Value, documents: &[Value]) -> Vec<Vec<String>> {
        let input = json!({ "schema": schema, "documents": documents }).to_string();
        serde_json::from_value(self.0.json(VALIDATE, &input)).unwrap()
    }
}

const PROBE: &str = "
import importlib.util, json
print(json.dumps(importlib.util.find_spec('jsonschema') is not None))";

const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator as Validator
given = json.load(sys.stdin)
Validator.check_schema(given['schema'])
validator = Validator(given['schema'], format_checker=Validator.FORMAT_CHECKER)
print(json.dumps([[f'{list(e.absolute_path)}: {e.message}' for e in validator.iter_errors(d)] for d in given['documents']]))";
