//! Operations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was asked for and how it stands. The state is derived from the object every time it is read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: u32,
    /// `create`, `start`, `stop`, `poweroff`, `reboot`, `pause`, `resume`, `resize`, `delete` or `import`.
    pub verb: String,
    /// Noun of the object: `vm` or `image`.
    pub kind: String,
    /// Id of the object.
    pub object: u32,
    /// `running`, `done`, `failed` or `superseded`.
    pub state: String,
    /// What it waits for or why it failed.
    pub why: String,
    /// When it was asked.
    pub created_at: String,
}
