//! DeleteTopics, by names or by ids.

use super::Call;
use super::create_topics::{Fault, message};
use crate::error::{self, Code};
use crate::frame::text;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

pub(crate) async fn handle(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name =
        request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
    let asked: Vec<DeleteTopicState> = if call.version >= 6 { request.topics } else { by_name.collect() };
    let mut responses = Vec::with_capacity(asked.len());
    for state in &asked {
        let same = asked.iter().filter(|other| *other == state).count();
        let (name, result) = match named(call, state) {
            Ok((name, id)) if asked.iter().filter(|other| is(other, &name, id)).count() > 1 && same == 1 => {
                // Once by its name, once by its id.
                let why = "The provided topic name maps to an ID that was already supplied.";
                responses.push(response(
                    call,
                    Some(TopicName(text(&name))),
                    id,
                    Err((Code::InvalidRequest, why.to_owned())),
                ));
                continue;
            }
            _ if same > 1 => {
                let what = if state.name.is_some() { "Duplicate topic name." } else { "Duplicate topic id." };
                (state.name.clone(), Err((Code::InvalidRequest, what.to_owned())))
            }
            Ok((name, id)) => {
                let result = delete(call, &name).await;
                responses.push(response(call, Some(TopicName(text(&name))), id, result));
                continue;
            }
            Err(fault) => (state.name.clone(), Err(fault)),
        };
        responses.push(response(call, name, state.topic_id, result));
    }
    responses.dedup();
    DeleteTopicsResponse::default().with_responses(responses)
}

fn is(state: &DeleteTopicState, name: &str, id: uuid::Uuid) -> bool {
    state.topic_id == id || state.name.as_ref().is_some_and(|other| **other == *name)
}

fn response(
    call: &Call,
    name: Option<TopicName>,
    id: uuid::Uuid,
    result: Result<(), Fault>,
) -> DeletableTopicResult {
    let response = DeletableTopicResult::default().with_name(name);
    let response = if call.version >= 6 { response.with_topic_id(id) } else { response };
    match result {
        Ok(()) => response,
        Err((code, message)) => {
            let message = (call.version >= 5).then(|| StrBytes::from_string(message));
            response.with_error_code(code.code()).with_error_message(message)
        }
    }
}

fn named(call: &Call, state: &DeleteTopicState) -> Result<(String, uuid::Uuid), Fault> {
    let topics = call.context.log.topics();
    let found = match &state.name {
        Some(_) if !state.topic_id.is_nil() => {
            let message = "You may not specify both topic name and topic id.";
            return Err((Code::InvalidRequest, message.to_owned()));
        }
        Some(name) => topics
            .named(name)
            .ok_or((Code::UnknownTopicOrPartition, "This server does not host this topic-partition.")),
        None if state.topic_id.is_nil() => {
            let message = "Neither topic name nor id were specified.";
            return Err((Code::InvalidRequest, message.to_owned()));
        }
        None => topics
            .with_id(state.topic_id)
            .ok_or((Code::UnknownTopicId, "This server does not host this topic ID.")),
    };
    found.map(|topic| (topic.name.clone(), topic.id)).map_err(|(code, text)| (code, text.to_owned()))
}

async fn delete(call: &Call, name: &str) -> Result<(), Fault> {
    if call.context.log.topics().named(name).is_some_and(|topic| topic.is_internal) {
        // Groups and transactions live in them.
        let message = format!("Topic {name} is internal and cannot be deleted.");
        return Err((Code::InvalidTopicException, message));
    }
    let name = name.to_owned();
    let deleted = call.context.blocking(move |log| log.delete_topic(&name)).await;
    deleted.map_err(|error| (error::of_log(&error), message(&error)))
}
