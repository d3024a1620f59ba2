//! `holm vm-group`.

use super::owned::{self, Owned};
use super::vms::ask_each;
use super::{App, Noun};
use crate::args::vm_groups::{ChangeRole, Names as Roles, VmGroupCommand};
use crate::client::{Call, path};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Meta, Role, RoleChange, RoleChoice, VmGroup, VmGroupChange, VmGroupCreate};
use reqwest::Method;

impl Noun for VmGroup {
    const PATH: &'static str = "vm-groups";
    const WORD: &'static str = "vm group";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |g, _| g.id.to_string(), |g| g.id.to_string()),
            field("NAME", "name", |g, _| g.meta.name.clone(), |g| g.meta.name.clone()),
            field("ROLES", "roles", |g, _| roles_of(g), roles_of),
            field("VMS", "vms", |g, _| count(g), count),
            field("AGE", "created_at", |g, _| show_age(&g.meta.created_at), |g| g.meta.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let of_role = |role: &Role| {
            let hosts = role.hosts.iter().chain(&role.not_hosts).map(|host| ("hosts", *host));
            hosts.chain(role.vms.iter().map(|vm| ("vms", *vm))).collect::<Vec<_>>()
        };
        self.roles.iter().flat_map(of_role).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let list =
            |noun: &'static str, ids: &[u32]| ids.iter().map(|id| names.of(noun, *id)).collect::<Vec<_>>().join(", ");
        let sets = |sets: &[Vec<String>]| sets.iter().map(|set| set.join(" + ")).collect::<Vec<_>>().join(", ");
        let roles = self.roles.iter().map(|role| {
            vec![
                role.id.to_string(),
                role.name.clone(),
                role.policy.replace('_', "-"),
                list("hosts", &role.hosts),
                list("hosts", &role.not_hosts),
                list("vms", &role.vms),
            ]
        });
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("together", sets(&self.affined)),
            Part::Line("apart", sets(&self.anti_affined)),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table("Roles:", &["ROLE", "NAME", "POLICY", "HOSTS", "NOT HOSTS", "VMS"], roles.collect()),
        ]
    }
}

impl Owned for VmGroup {}

fn roles_of(group: &VmGroup) -> String {
    group.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn count(group: &VmGroup) -> String {
    group.roles.iter().map(|role| role.vms.len()).sum::<usize>().to_string()
}

fn sets(sets: Vec<Roles>) -> Vec<Vec<String>> {
    sets.into_iter().map(|set| set.0).collect()
}

/// The sets a change asks for, if it asks for any.
fn changed(given: Vec<Roles>, none: bool) -> Option<Vec<Vec<String>>> {
    (none || !given.is_empty()).then(|| sets(given))
}

pub(super) async fn run(app: &App, command: VmGroupCommand) -> Result {
    match command {
        VmGroupCommand::List(args) => app.list::<VmGroup>(&args).await,
        VmGroupCommand::Show(one) => app.show::<VmGroup>(&one.name).await,
        VmGroupCommand::Delete(args) => app.delete::<VmGroup>(&args, &[]).await,
        VmGroupCommand::Owned(command) => owned::run::<VmGroup>(app, command).await,
        VmGroupCommand::Create(args) => {
            app.create::<VmGroup>(&VmGroupCreate {
                name: args.name,
                roles: args.role,
                affined: sets(args.together),
                anti_affined: sets(args.apart),
                ..VmGroupCreate::default()
            })
            .await
        }
        VmGroupCommand::Change(args) => {
            let change = VmGroupChange {
                affined: changed(args.together, args.together_none),
                anti_affined: changed(args.apart, args.apart_none),
                ..VmGroupChange::default()
            };
            owned::patch::<VmGroup>(app, &[args.name], &change).await
        }
        VmGroupCommand::AddRole(args) => {
            send(app, Call::new(Method::POST, path(&["vm-groups", &args.group, "roles"])?).json(&args.role)?).await
        }
        VmGroupCommand::ChangeRole(args) => change_role(app, args).await,
        VmGroupCommand::RemoveRole(args) => {
            send(app, Call::new(Method::DELETE, of_role(app, &args.group, &args.role).await?)).await
        }
        VmGroupCommand::Join(args) => {
            let body = RoleChoice { group: args.group, role: args.role };
            ask_each(app, &args.vms.names, &args.wait, |name| {
                Call::new(Method::PUT, path(&["vms", name, "vm-group"])?).json(&body)
            })
            .await
        }
        VmGroupCommand::Leave(args) => {
            ask_each(app, &args.vms.names, &args.wait, |name| {
                Ok(Call::new(Method::DELETE, path(&["vms", name, "vm-group"])?))
            })
            .await
        }
    }
}

async fn send(app: &App, call: Call) -> Result {
    let value = app.client.send(call).await?.json()?;
    app.print_one::<VmGroup>(&value).await
}

/// The path of a role that is named or numbered.
async fn of_role(app: &App, group: &str, role: &str) -> Result<String> {
    let (_, found) = app.load::<VmGroup>(group).await?;
    let number = found.roles.iter().find(|known| known.name == role || known.id.to_string() == role);
    let number = number.ok_or_else(|| {
        Error::new(Exit::NotFound, format!("vm group {} has no role {role:?}", found.meta.name))
            .hint(format!("See `holm vm-group show {group}`."))
    })?;
    path(&["vm-groups", &found.id.to_string(), "roles", &number.id.to_string()])
}

async fn change_role(app: &App, args: ChangeRole) -> Result {
    let change = RoleChange {
        name: args.name,
        policy: args.policy.map(|policy| policy.word()),
        hosts: (args.any_host || !args.host.is_empty()).then_some(args.host),
        not_hosts: (args.no_not_host || !args.not_host.is_empty()).then_some(args.not_host),
    };
    send(app, Call::new(Method::PATCH, of_role(app, &args.group, &args.role).await?).json(&change)?).await
}
