//! What is the same for every noun: lists and single objects, and for those with an owner their lock and the change of
//! name, ownership, permissions and attributes. A noun says once how it is shown ([`Shown`]).

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, Order, json, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use axum::routing::put;
use holm_desk::{Caller, Desk, Listed, Owned, Row, View};
use holm_wire::v1;
use http::StatusCode;
use serde::Serialize;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItemBuilder, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, ObjectBuilder, Ref, Required, ResponseBuilder, ResponsesBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// A noun as this interface shows it.
pub(crate) trait Shown: Listed {
    /// Where they are: the path below `/api/v1`, and the tag in the description.
    const PATH: &'static str;
    /// One of them in a path and in the names of operations, such as `vm`.
    const ONE: &'static str;
    /// Its shape.
    type Body: Serialize + ToSchema;

    /// An object in that shape.
    fn show(row: &Row<Self>, sight: &Sight<'_>) -> Self::Body;
}

/// By whom and when objects are looked at.
pub(crate) struct Sight<'a> {
    /// For what is not in the rows.
    pub(crate) desk: &'a Desk,
    /// The moment.
    pub(crate) view: &'a View,
    /// Who looks; what only some may see is left out for others.
    pub(crate) caller: &'a Caller,
}

/// A page of what was asked for.
pub(crate) fn list<T: Shown>(api: &Api, asker: &Asker, query: &holm_desk::ListQuery) -> Answer {
    let page = api.desk().view().list::<T>(&asker.caller, query)?;
    let sight = Sight { desk: api.desk(), view: &page.view, caller: &asker.caller };
    let items = page.items.iter().map(|row| T::show(row, &sight)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// One object by id or name.
pub(crate) fn get<T: Shown>(api: &Api, asker: &Asker, key: &str) -> Answer {
    let view = api.desk().view();
    let row = view.get::<T>(&asker.caller, key)?;
    let sight = Sight { desk: api.desk(), view: &view, caller: &asker.caller };
    json_at(StatusCode::OK, row.revision, &T::show(&row, &sight))
}

fn body<T: Shown>(api: &Api, caller: &Caller, row: &Row<T>) -> T::Body {
    T::show(row, &Sight { desk: api.desk(), view: &api.desk().view(), caller })
}

/// An object as it is after a change.
pub(crate) fn changed<T: Shown>(api: &Api, caller: &Caller, row: &Row<T>) -> Answer {
    json_at(StatusCode::OK, row.revision, &body(api, caller, row))
}

/// A fresh object.
pub(crate) fn created<T: Shown>(api: &Api, caller: &Caller, row: &Row<T>) -> Answer {
    let body = body(api, caller, row);
    super::requests::created(StatusCode::CREATED, row.revision, T::PATH, T::raw(row.value.id()), &body)
}

/// The change of a noun that has nothing to change but what every owned object has.
pub(crate) async fn change<T: Shown + Owned>(api: &Api, key: &str, command: Command<v1::MetaChange>) -> Answer {
    let change = convert::meta_change(command.body)?;
    let row = api.desk().meta_change::<T>(&command.caller, &command.intent, key, change).await?;
    changed(api, &command.caller, &row)
}

async fn lock<T: Shown + Owned>(State(api): State<Api>, Key(key): Key, command: Command<v1::LockChange>) -> Answer {
    let level = convert::lock_level(&command.body)?;
    let id = api.desk().view().get::<T>(&command.caller, &key)?.value.id();
    let row = api.desk().lock::<T>(&command.caller, &command.intent, id, level, false).await?;
    changed(&api, &command.caller, &row)
}

async fn unlock<T: Shown + Owned>(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = api.desk().view().get::<T>(&order.caller, &key)?.value.id();
    let row = api.desk().unlock::<T>(&order.caller, &order.intent, id).await?;
    changed(&api, &order.caller, &row)
}

/// `/{noun}/{key}/lock` of an owned noun.
pub(crate) fn lock_routes<T: Shown + Owned>() -> OpenApiRouter<Api> {
    let path = format!("/{}/{{{}}}/lock", T::PATH, T::ONE);
    let key = ParameterBuilder::new()
        .name(T::ONE)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Id or name."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    let shown = ContentBuilder::new().schema(Some(Ref::from_schema_name(T::Body::name()))).build();
    let answer =
        ResponseBuilder::new().description("The object as it is now.").content("application/json", shown).build();
    let operation = |verb: &str, summary: &str, description: &str| {
        OperationBuilder::new()
            .operation_id(Some(format!("{}_{verb}", T::ONE)))
            .tag(T::PATH)
            .summary(Some(format!("{summary} a {}", T::ONE.replace('_', " "))))
            .description(Some(description))
            .parameter(key.clone())
            .responses(ResponsesBuilder::new().response("200", answer.clone()).build())
    };
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(v1::LockChange::name())))
        .example(Some(serde_json::json!({"level": "manage"})))
        .build();
    let lock_operation = operation(
        "lock",
        "Lock",
        "Keeps its owner and everybody else but administrators from using it, changing it, or changing who may do what \
         with it. Locking again changes the level.",
    )
    .request_body(Some(
        RequestBodyBuilder::new().content("application/json", body).required(Some(Required::True)).build(),
    ));
    let unlock_operation =
        operation("unlock", "Unlock", "For whoever locked it, and administrators. Fine when it is not locked.");
    let item = PathItemBuilder::new()
        .operation(HttpMethod::Put, lock_operation)
        .operation(HttpMethod::Delete, unlock_operation)
        .build();
    let mut schemas = vec![(v1::LockChange::name().into_owned(), v1::LockChange::schema())];
    v1::LockChange::schemas(&mut schemas);
    let paths = PathsBuilder::new().path(path, item).build();
    OpenApiRouter::new().routes((schemas, paths, put(lock::<T>).delete(unlock::<T>)))
}

/// Says how nouns are shown: `Noun, "path", "one", Body: |row, sight| ...;`.
macro_rules! shown {
    ($($noun:ty, $path:literal, $one:literal, $body:ty: $show:expr;)*) => {
        $(
            impl super::owned::Shown for $noun {
                const PATH: &'static str = $path;
                const ONE: &'static str = $one;
                type Body = $body;
                fn show(row: &holm_desk::Row<Self>, sight: &super::owned::Sight<'_>) -> $body {
                    let show: fn(&holm_desk::Row<Self>, &super::owned::Sight<'_>) -> $body = $show;
                    show(row, sight)
                }
            }
        )*
    };
}
pub(super) use shown;
