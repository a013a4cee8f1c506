-- Videos that were lately indexed anew: the pictures of before are removed after the commit, perhaps.
select distinct on (video_id) owner_id, video_id, generation from public.jobs
where stage = 'finalize' and state = 'succeeded' and generation > 1
  and finished_at > now() - make_interval(secs => :within_s)
order by video_id, generation desc
