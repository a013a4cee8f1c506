-- Whichever attempt it was: the receiver has it.
update public.webhook_deliveries
set state = 'delivered', response_status = :status, error = null, finished_at = now()
where id = :id and state = 'pending'
