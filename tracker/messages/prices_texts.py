"""Messages of prices and recorded usage."""

from __future__ import annotations

TEXTS = {
    "rate_invalid": "A price must be from 0 to 1,000,000 USD, with at most 12 digits after the point.",
    "file.label": "The file of TRACKER_PRICES",
    "file.other_content": "The file of TRACKER_PRICES may contain only [[price]] tables and a"
    " [currency] section.",
    "file.not_a_table": "[[price]] number {number} in the file of TRACKER_PRICES is not a table.",
    "file.unknown_key": "[[price]] number {number} in the file of TRACKER_PRICES contains {key}; it may"
    " contain {keys}.",
    "file.not_text": "[[price]] number {number} in the file of TRACKER_PRICES contains a {key} that is not text.",
    "file.no_model": "[[price]] number {number} in the file of TRACKER_PRICES has no model.",
    "file.rates_missing": "[[price]] number {number} in the file of TRACKER_PRICES must contain either"
    " same_as, or input and output in USD per million tokens.",
    "file.not_a_number": "[[price]] number {number} in the file of TRACKER_PRICES contains a {key} that is not"
    " a number.",
    "file.rate_out_of_range": "[[price]] number {number} in the file of TRACKER_PRICES contains a {key}"
    " outside 0 to 1,000,000 USD, or with more than 12 digits after the point.",
    "file.not_a_day": "[[price]] number {number} in the file of TRACKER_PRICES contains a from that is not a"
    " day such as 2026-01-01.",
    "library_missing": "Prices need genai-prices: pip install genai-prices.",
    "unpriced.model_unknown": "The price list does not contain this model.",
    "unpriced.provider_unknown": "The provider is not recorded, and the model's name does not identify one provider.",
    "unpriced.tier_unknown": "The meaning of the service tier {detail} is not known, so no price applies.",
    "unpriced.tier_not_priced": "The price list has no price for {detail} of this model on the day of the call.",
    "unpriced.region_not_priced": "The price list has no price for the inference region {detail}.",
    "unpriced.detail_not_priced": "The price list has no price for {detail} of this model.",
    "unpriced.detail_unknown": "The recorded usage contains {detail}, which the price list does not know.",
    "unpriced.detail_invalid": "The recorded value of {detail} is not valid.",
    "unpriced.details_contradict": "The recorded details contradict the token counts.",
    "unpriced.details_incomplete": "The usage does not state how many of the tokens are audio or images.",
    "unpriced.usage_missing": "The call has no recorded usage.",
    "unpriced.unit_missing": "The model is billed by {detail}, which is not recorded for the call.",
    "unpriced.usage_inconsistent": "The provider's usage contradicts itself, or could not be read.",
    "unpriced.usage_aggregated": "The row is the sum of many calls in a usage export; it has no price.",
    "unpriced.batch_needs_calls": "The price depends on the size of each call, and the row is the sum of a batch.",
    "unpriced.parts_invalid": "The row contains several models, and their counts do not add up to the row.",
    "unpriced.part_not_priced": "One of the models in the row has no price: {detail}.",
    "problem.usage_missing": "The response contains no usage that Token Tracker can read; it is recorded with 0"
    " tokens.",
    "problem.stream_usage_missing": "The stream contains no usage; it is recorded with 0 tokens. OpenAI's chat"
    " streams contain it only with stream_options={{\"include_usage\": True}}.",
    "problem.stream_not_read": "The response is a stream that was not read, so its usage is unknown; it is recorded"
    " with 0 tokens. Record the list of its chunks, or use recorder.track and read call.response.",
    "problem.response_missing": "No response was set (call.response = …); the call is recorded with 0 tokens.",
    "problem.unit_not_tokens": "The usage is stated in another unit than tokens; it is recorded with 0 tokens.",
    "problem.response_never_retrieved": "The response was created in the background and its result was never"
    " retrieved; it is recorded with 0 tokens.",
    "problem.response_unreadable": "Reading the response raised an error; what was not read is recorded with 0 tokens.",
    "problem.input_missing": "The usage does not state the input tokens; they are recorded as 0 and the call has no"
    " price.",
    "problem.count_invalid": "The usage contains a count that is not a whole number; that count is recorded as 0"
    " tokens.",
    "problem.count_too_large": "The usage contains a count above 2147483647; what the table cannot store is recorded"
    " as 0 tokens.",
    "problem.total_mismatch": "The stated total does not match the counts; input and output are recorded as stated.",
    "problem.details_exceed_counts": "A part by modality exceeds the count that contains it; that part is not"
    " recorded.",
    "problem.parts_exceed_input": "Cached tokens exceed the input tokens; the cached tokens are recorded as 0 tokens.",
    "problem.reasoning_exceeds_output": "Reasoning tokens exceed the output tokens; the reasoning tokens are recorded"
    " as 0 tokens.",
    "problem.usage_aggregated": "The row is the sum of many calls in a usage export; it has no price.",
    "note.reasoning_from_total": "The reasoning tokens are stated only in the total; they are the difference.",
    "note.audio_from_total": "The audio tokens are stated only in the total; they are the difference.",
    "note.cache_not_stated": "The sender states no cached tokens, and its input does not include them. If the call"
    " used prompt caching, the input tokens and the cost are too low.",
    "note.cached_part_not_stated": "The sender does not state how many input tokens were cached; the input is"
    " complete. If the call used prompt caching, the cost is not exact.",
    "note.reasoning_not_stated": "The sender does not state how many output tokens were reasoning; the output is"
    " complete.",
    "note.parts_not_stated": "The sender states neither cached nor reasoning tokens; input and output are complete."
    " If the call used prompt caching, the cost is not exact.",
    "note.cache_counting_unknown": "The sender does not state its version, which determines whether its input"
    " includes cached tokens; they may be counted twice.",
    "note.output_may_include_stream_start": "For streams, the sender adds the output tokens that were stated at the"
    " start to the final count; the output may be a few tokens too high.",
    "note.response_differs": "The response in the span states another usage than the span's attributes; the"
    " attributes were used.",
    "unpriced.other": "{reason}.",
    "currency.content": "[currency] in the file of TRACKER_PRICES must contain a code such as KRW, and rates with one"
    " number for each day, such as 2026-11-01 = 1385. Costs are displayed in US dollars until it is corrected.",
    "currency.code_unknown": "[currency] in the file of TRACKER_PRICES contains the code {code}, which is no currency"
    " of ISO 4217. Costs are displayed in US dollars until it is corrected.",
    "currency.day_invalid": "[currency] in the file of TRACKER_PRICES contains a rate for {day}, which is no day such"
    " as 2026-11-01. Costs are displayed in US dollars until it is corrected.",
    "currency.rate_invalid": "[currency] in the file of TRACKER_PRICES contains a rate for {day} that is not a number"
    " above 0 and up to 1,000,000,000. Costs are displayed in US dollars until it is corrected.",
    "currency.no_rate": "TRACKER_CURRENCY is {code} without a rate, and the file of TRACKER_PRICES has no rates of this"
    " currency. Costs are displayed in US dollars. Set TRACKER_CURRENCY to the code and a rate, such as KRW 1385.",
    "what_if.model_unknown": "The price list does not contain the model {name}.",
    "what_if.model_unknown_nearest": "The price list does not contain the model {name}. The nearest names"
    " are: {names}.",
    "what_if.provider_unknown": "Several providers sell the model {name} at different prices. Add the"
    " provider: {names}.",
    "what_if.too_many_models": "At most {limit} models can be compared at once.",
    "what_if.operation_differs": "Calls for embeddings and calls that write an output are not comparable.",
    "what_if.tier_not_priced": "The price list has no price for {detail} of this model.",
    "not_readable": "This database user may not read the prices that were set on the dashboard, so it sets no costs.",
    "table_missing": "The tables of prices and setting changes don't exist.",
    "table_missing.remedy": "Create them: token-tracker migrate.",
    "not_writable": "This database user may not change prices.",
    "budgets_not_writable": "This database user may not change budgets.",
}  # fmt: skip
