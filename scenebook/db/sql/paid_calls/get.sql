select response from public.paid_calls where owner_id = :owner_id and key = :key
