//! `holm document`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::documents::DocumentCommand;
use crate::client::path;
use crate::errors::Result;
use crate::fields;
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Document, DocumentClone, DocumentCreate};

impl Noun for Document {
    const PATH: &'static str = "documents";
    const WORD: &'static str = "document";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |d, _| d.id.to_string(), |d| d.id.to_string()),
            Column::new("NAME", "name", |d, _| d.meta.name.clone(), |d| d.meta.name.clone()),
            Column::new("KIND", "kind", |d, _| d.kind.to_string(), |d| d.kind.to_string()),
            Column::new("OWNER", "owner", |d, names| names.of("users", d.meta.owner), |d| d.meta.owner.to_string()),
            Column::new("AGE", "created_at", |d, _| show_age(&d.meta.created_at), |d| d.meta.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        owned::mentions(&self.meta)
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let mut parts = vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("kind", self.kind.to_string()),
            Part::Line("age", show_age(&self.meta.created_at)),
        ];
        parts.extend(owned::parts(&self.meta, names));
        parts.push(owned::attributes(&self.meta));
        parts
    }
}

impl Owned for Document {}

pub(super) async fn run(app: &App, command: DocumentCommand) -> Result {
    match command {
        DocumentCommand::List(args) => app.list::<Document>(&args).await,
        DocumentCommand::Show(one) => app.show::<Document>(&one.name).await,
        DocumentCommand::Create(args) => {
            let attributes = fields::attributes(args.attribute, vec![])?;
            app.create::<Document>(&DocumentCreate { name: args.name, kind: args.kind, attributes }).await
        }
        DocumentCommand::Clone(args) => {
            let at = path(&["documents", &args.name, "clone"])?;
            let value = app.client.post(&at, &DocumentClone { name: args.to }).await?;
            app.print_one::<Document>(&value).await
        }
        DocumentCommand::Owned(command) => owned::run::<Document>(app, command).await,
        DocumentCommand::Delete(args) => app.delete::<Document>(&args, &[]).await,
    }
}
