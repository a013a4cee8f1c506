select * from scenebook.corrected_words(
    query_text => :text, filter_user_id => cast(:owner_id as uuid))
