-- Which GenAI spans, by scope, and which exports of metrics and logs were not used, newest first?
SELECT signal, scope, items, last_seen_at
FROM token_tracker_unread AS unread
ORDER BY last_seen_at DESC, signal, scope
LIMIT 50;
