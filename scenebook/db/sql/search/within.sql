select set_config('statement_timeout', :limit, true)
