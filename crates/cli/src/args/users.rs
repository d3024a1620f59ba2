//! Arguments about users, groups and second factors.

use super::{ListArgs, Many, One};
use clap::{Args, Subcommand, ValueEnum};

/// `holm user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users you may see.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm user list\n  holm user list --filter group:lab")]
    List(ListArgs),
    /// Show a user, or yourself.
    #[command(after_help = "Examples:\n  holm user show\n  holm user show anna -o json")]
    Show(MaybeOne),
    /// Create a user.
    #[command(after_help = "Examples:
  holm user create anna --group lab
  holm user create anna --group lab --password-file -
  holm user create anna --public-key ~/.ssh/id_ed25519.pub
  holm user create guest --auth public

A password is asked for without echo; it is never an argument.")]
    Create(UserCreateArgs),
    /// Change a user's attributes.
    #[command(after_help = "Examples:
  holm user set anna EMAIL=anna@example.org
  holm user set anna SSH_PUBLIC_KEY=@~/.ssh/id_ed25519.pub --unset PHONE

SSH_PUBLIC_KEY holds the keys that the user's VMs let in, UMASK the permissions its objects do not begin with.")]
    Set(SetArgs),
    /// Let users log in again.
    #[command(after_help = "Examples:\n  holm user enable anna")]
    Enable(Many),
    /// Let users log in no more, and end their tokens.
    #[command(after_help = "Examples:\n  holm user disable anna max")]
    Disable(Many),
    /// Change your password, or set somebody's.
    #[command(after_help = "Examples:
  holm user password
  holm user password anna --password-file new.txt

Passwords are asked for without echo; they are never arguments.")]
    Password(PasswordArgs),
    /// Set what proves who a user is.
    #[command(after_help = "Examples:
  holm user auth anna ssh --public-key ~/.ssh/id_ed25519.pub
  holm user auth anna password
  holm user auth guest public")]
    Auth(AuthArgs),
    /// Make a group a user's primary one. The user leaves the one before.
    #[command(after_help = "Examples:\n  holm user primary-group anna lab")]
    PrimaryGroup(UserGroup),
    /// Add a user to a further group.
    #[command(after_help = "Examples:\n  holm user join anna operators")]
    Join(UserGroup),
    /// Take a user out of a group that is not its primary one.
    #[command(after_help = "Examples:\n  holm user leave anna operators")]
    Leave(UserGroup),
    /// Delete users. Refused while anything belongs to them, unless you say who gets it.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  holm user delete anna\n  holm user delete anna --give-to max"
    )]
    Delete(UserDelete),
}

/// One user, or whoever asks.
#[derive(Debug, Args)]
pub struct MaybeOne {
    /// Its name or id; default yourself.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// What proves who a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// A password.
    Password,
    /// A signature made with an SSH key.
    Ssh,
    /// Nothing: only service accounts may act as this user.
    Public,
    /// A service account's key, made from its password; it acts as other users.
    Service,
}

impl AuthMethod {
    /// The word of the interface.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Password => "password",
            Self::Ssh => "ssh",
            Self::Public => "public",
            Self::Service => "service",
        }
        .to_owned()
    }

    /// Whether it goes with a password.
    #[must_use]
    pub fn takes_password(self) -> bool {
        matches!(self, Self::Password | Self::Service)
    }
}

/// `holm user create`.
#[derive(Debug, Args)]
pub struct UserCreateArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A group, by name or id; the first one is the primary one.
    #[arg(long = "group", short, value_name = "GROUP")]
    pub groups: Vec<String>,
    /// What proves who it is; default a password, or ssh with a public key.
    #[arg(long, value_enum, value_name = "METHOD")]
    pub auth: Option<AuthMethod>,
    /// Read the password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    pub password_file: Option<String>,
    /// The public key it logs in with, from this file.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<String>,
    /// Keep this with it; a value `@FILE` is read from the file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair)]
    pub attribute: Vec<(String, String)>,
}

/// Attributes to be set and removed.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Attributes with their new values; a value `@FILE` is read from the file.
    #[arg(value_name = "KEY=VALUE", value_parser = crate::fields::pair, required_unless_present = "unset")]
    pub attributes: Vec<(String, String)>,
    /// Remove this attribute.
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,
}

/// `holm user password`.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// The user's name or id; default yourself.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Read the new password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<String>,
    /// Read your present password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub old_password_file: Option<String>,
}

/// `holm user auth`.
#[derive(Debug, Args)]
pub struct AuthArgs {
    /// The user's name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What proves who it is from now on. All its tokens end.
    #[arg(value_enum, value_name = "METHOD")]
    pub method: AuthMethod,
    /// Read the password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    pub password_file: Option<String>,
    /// The public key it logs in with, from this file.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<String>,
}

/// A user and a group.
#[derive(Debug, Args)]
pub struct UserGroup {
    /// The user's name or id.
    #[arg(value_name = "USER")]
    pub user: String,
    /// The group's name or id.
    #[arg(value_name = "GROUP")]
    pub group: String,
}

/// `holm user delete`.
#[derive(Debug, Args)]
pub struct UserDelete {
    /// Which ones.
    #[command(flatten)]
    pub users: Many,
    /// Who gets what belongs to them, by name or id: you, or somebody you manage.
    #[arg(long, value_name = "USER")]
    pub give_to: Option<String>,
}

/// `holm group`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups you may see.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm group list")]
    List(ListArgs),
    /// Show a group with its members.
    #[command(after_help = "Examples:\n  holm group show lab")]
    Show(One),
    /// Create a group.
    #[command(after_help = "Examples:
  holm group create lab
  holm acl create --group lab --kind vm --kind image --right create

Its members make nothing before an access rule lets them.")]
    Create(One),
    /// Change a group's attributes.
    #[command(after_help = "Examples:\n  holm group set lab COST_CENTER=4711")]
    Set(SetArgs),
    /// Add a user to the group.
    #[command(after_help = "Examples:\n  holm group add-user lab anna")]
    AddUser(GroupUser),
    /// Take a user out of the group.
    #[command(after_help = "Examples:\n  holm group remove-user lab anna")]
    RemoveUser(GroupUser),
    /// Make a member an administrator of the group.
    #[command(after_help = "Examples:
  holm group add-admin lab anna

An administrator of a group creates, changes and deletes its users and manages what belongs to it.")]
    AddAdmin(GroupUser),
    /// Let a member be no administrator of the group any more.
    #[command(after_help = "Examples:\n  holm group remove-admin lab anna")]
    RemoveAdmin(GroupUser),
    /// Delete groups that nobody is in and nothing belongs to.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm group delete lab")]
    Delete(Many),
}

/// A group and a user.
#[derive(Debug, Args)]
pub struct GroupUser {
    /// The group's name or id.
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// The user's name or id.
    #[arg(value_name = "USER")]
    pub user: String,
}

/// `holm second-factor`.
#[derive(Debug, Subcommand)]
pub enum SecondFactorCommand {
    /// Set up a second factor for yourself: shows a key for an authenticator application and asks for its first code.
    #[command(after_help = "Examples:
  holm second-factor setup
  holm second-factor setup --no-qr

From then on logging in asks for the code that the application shows.")]
    Setup(SecondFactorSetup),
    /// Take the second factor away: your own with its code, or somebody's whom you administer.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  holm second-factor remove\n  holm second-factor remove anna"
    )]
    Remove(MaybeOne),
}

/// `holm second-factor setup`.
#[derive(Debug, Args)]
pub struct SecondFactorSetup {
    /// Show the key as text only.
    #[arg(long)]
    pub no_qr: bool,
}
