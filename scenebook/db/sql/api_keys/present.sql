-- Row security shows the rest of this transaction the one key that has this hash.
select set_config('scenebook.presented_key', :secret_hash, true)
