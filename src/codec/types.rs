//! Names and kinds of types.

use postgres_types::{Field, Kind, Type};
use serde_json::{Value, json};

/// Whether postgres-types knows everything about a type.
pub(crate) fn is_built_in(ty: &Type) -> bool {
    Type::from_oid(ty.oid()).is_some()
}

/// What the serializers of JavaScript need of a type: `oid`, `schema`, `name` and the name as it is `shown`; of an array
/// `of`, of a domain `base`, of a composite `fields`.
pub(crate) fn describe_type(ty: &Type) -> Value {
    let mut told = json!({ "oid": ty.oid(), "schema": ty.schema(), "name": ty.name(), "shown": type_name(ty) });
    match ty.kind() {
        Kind::Array(member) => told["of"] = describe_type(member),
        Kind::Domain(base) => told["base"] = describe_type(base),
        Kind::Composite(fields) => {
            let field = |field: &Field| json!({ "name": field.name(), "type": describe_type(field.type_()) });
            told["fields"] = fields.iter().map(field).collect();
        }
        _ => {}
    }
    told
}

/// A type's name as the user knows it: `int4[]`, not `_int4`.
pub(in crate::codec) fn type_name(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(member) if ty.name().starts_with('_') => format!("{}[]", type_name(member)),
        _ => ty.name().to_owned(),
    }
}

/// The type a value is read as: a domain's base, however many domains deep.
pub(in crate::codec) fn base(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

/// Whether a simple type comes from an extension or the user.
pub(in crate::codec) fn is_foreign(ty: &Type) -> bool {
    *ty.kind() == Kind::Simple && ty.schema() != "pg_catalog"
}
