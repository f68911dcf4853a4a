//! DeleteGroups: groups that nobody is in, and all their offsets.

use super::Call;
use crate::error::Code;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(crate) async fn handle(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let deleted = match id.as_str() {
            "" => Err(Code::InvalidGroupId),
            name => call.context.groups.delete(name).await,
        };
        let code = deleted.err().map_or(0, |error| error.code());
        results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(code));
    }
    DeleteGroupsResponse::default().with_results(results)
}
