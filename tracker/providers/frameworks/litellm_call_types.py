"""LiteLLM's call types that are model calls; the others are not recorded.

Source: litellm/types/utils.py, CallTypes (1.110.2). A test compares this list with the installed version.
"""

from __future__ import annotations

from tracker.providers.responses import read


def _with_async(names: str) -> frozenset[str]:
    """The names, each also in its asynchronous form."""
    return frozenset(form for name in names.split() for form in (name, f"a{name}"))


# Each is one request to a model, with usage in its response or at the end of its stream.
_MODEL_CALLS = """
    anthropic_messages compact_responses completion create_interaction create_video decisions embedding
    extraction generate_content generate_content_stream image_edit image_generation llm_passthrough_route ocr
    query rerank responses run_thread run_thread_stream send_message speech systemone text_completion
    transcription video_edit video_extension video_generation video_remix
"""
# Storage, administration, and services that call no model.
_NO_MODEL_CALLS = """
    _add_message add_message cancel_batch cancel_fine_tuning_job code_interpreter_tool create_assistants
    create_batch create_container create_file create_fine_tuning_job create_realtime_client_secret
    create_realtime_transcription_session create_realtime_translation_client_secret create_sandbox create_skill
    create_thread delete_assistant delete_container delete_responses delete_sandbox file_content file_delete
    file_list file_retrieve get_assistants get_messages get_thread ingest list_container_files list_containers
    list_fine_tuning_jobs list_input_items moderation retrieve_container retrieve_fine_tuning_job run_code
    search upload_container_file vector_store_create vector_store_file_content vector_store_file_create
    vector_store_file_delete vector_store_file_list vector_store_file_retrieve vector_store_file_update
    vector_store_search video_content video_create_character video_delete video_get_character video_list
    video_retrieve video_retrieve_job
"""
MODEL_CALLS = _with_async(_MODEL_CALLS) | {
    "pass_through_endpoint",
    "_arealtime",
    "_aresponses_websocket",
    "arealtime_calls",
    "arealtime_translation_calls",
}
NO_MODEL_CALLS = _with_async(_NO_MODEL_CALLS) | {"call_mcp_tool", "list_mcp_tools"}
# Creating a response in the background is `responses`; these retrieve or cancel it.
BACKGROUND = _with_async("get_responses cancel_responses")
# A finished batch is one row.
BATCH = _with_async("retrieve_batch")
_OPERATIONS = {
    "embedding": "embeddings",
    "transcription": "transcription",
    "image_generation": "generate_content",
    "image_edit": "generate_content",
    "text_completion": "text_completion",
}


def is_model_call(call_type: str, response: object | None) -> bool:
    """Whether a call of this type is recorded; an unlisted type is, if its response states usage."""
    if call_type in MODEL_CALLS or not call_type:
        return True
    if call_type in NO_MODEL_CALLS or call_type in BACKGROUND or call_type in BATCH:
        return False
    return response is None or any(read(response).counts.values())


def operation_of(call_type: str) -> str | None:
    """The operation by OpenTelemetry's name; None for a chat."""
    return _OPERATIONS.get(call_type) or _OPERATIONS.get(call_type.removeprefix("a"))
