//! Nodes as Marzban shows them.

use serde::Serialize;
use serde_json::json;

use super::refusal::detail;
use super::state::{Node, NodeStatus, State};
use crate::simulator::http::Answer;

#[derive(Serialize)]
pub(super) struct NodeView<'a> {
    name: &'a str,
    address: &'static str,
    port: i64,
    api_port: i64,
    usage_coefficient: f64,
    id: i64,
    xray_version: Option<&'static str>,
    status: NodeStatus,
    message: Option<&'a str>,
}

impl NodeView<'_> {
    pub(super) fn of(node: &Node) -> NodeView<'_> {
        NodeView {
            name: &node.name,
            address: "127.0.0.1",
            port: 62050 + node.id * 2,
            api_port: 62051 + node.id * 2,
            usage_coefficient: node.usage_coefficient,
            id: node.id,
            xray_version: (node.status == NodeStatus::Connected).then_some(node.xray_version),
            status: node.status,
            message: node.message.as_deref().filter(|_| node.status == NodeStatus::Error),
        }
    }
}

pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Node, Answer> {
    let id: i64 = id.parse().map_err(|_| {
        let message = "Input should be a valid integer, unable to parse string as an integer";
        Answer::json(422, &json!({ "detail": { "node_id": message } }))
    })?;
    state.nodes_beside_master().find(|node| node.id == id).ok_or_else(|| detail(404, "Node not found"))
}
