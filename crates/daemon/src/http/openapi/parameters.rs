//! Parameters that several paths take.

use utoipa::IntoParams;

/// A pod's id in a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "paths are taken apart by PodPath")]
pub(in crate::http) struct PodParameter {
    /// The pod's id; its slashes may be encoded, and the first one may be missing.
    #[param(
        pattern = "^/?([a-z0-9]([a-z0-9-]*[a-z0-9])?)(/[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        example = "shop/web"
    )]
    id: String,
}

/// A group's id in a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "paths are taken apart by the handler")]
pub(in crate::http) struct GroupParameter {
    /// The group's id; its slashes may be encoded, and the first one may be missing.
    #[param(
        pattern = "^/?([a-z0-9]([a-z0-9-]*[a-z0-9])?)(/[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        example = "shop"
    )]
    id: String,
}

/// A deployment's id in a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "one that is no uuid is an unknown one")]
pub(in crate::http) struct DeploymentParameter {
    /// The deployment's id, as `Marathon-Deployment-Id` gave it.
    #[param(format = Uuid)]
    id: String,
}
