-- The role of operators, which a backup does not hold: infra/restore.sh makes it with this file too.

-- Roles belong to the cluster, so another database may be creating it at this very moment.
do $$
declare
    may_take text := case
        when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
    if to_regrole('scenebook_operator') is null then
        begin
            create role scenebook_operator nologin nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end if;
    if exists (select from pg_catalog.pg_roles as r
               where r.rolname = 'scenebook_operator' and (r.rolsuper or r.rolbypassrls)) then
        raise exception using
            errcode = 'invalid_role_specification',
            message = 'the role scenebook_operator exists and bypasses row security',
            hint = 'Run as a superuser: alter role scenebook_operator nosuperuser nobypassrls;';
    end if;
    -- `set role` at checkout needs it; a superuser may always.
    if not pg_has_role(current_user, 'scenebook_operator', may_take) then
        begin
            execute format('grant scenebook_operator to %I', current_user);
        exception
            when unique_violation then
                null;
            when insufficient_privilege then
                raise exception using
                    errcode = 'insufficient_privilege',
                    message = format('%s may not take the role scenebook_operator', current_user),
                    hint = format(
                        'Run as a superuser: grant scenebook_operator to %I;', current_user);
        end;
    end if;
end;
$$;
