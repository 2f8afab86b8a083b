{#- The moment at which everything open is measured, in UTC: the variable `as_of`, else when dbt was started. -#}
{% macro as_of() -%}
timestamp '{{ utc_moment(run_started_at if var('as_of') is none else var('as_of')) }}'
{%- endmacro %}

{#- A date-time, which is in UTC if it has no zone, as both databases read it. -#}
{% macro utc_moment(given) %}
{%- set moment = modules.datetime.datetime.fromisoformat((given | string).replace('Z', '+00:00')) -%}
{%- if moment.tzinfo is not none -%}
    {%- set moment = moment.astimezone(modules.pytz.utc) -%}
{%- endif -%}
{{ return(moment.strftime('%Y-%m-%d %H:%M:%S.%f')) }}
{% endmacro %}


{#- The zone of days and working hours. A name that the database does not know never ends a build. -#}
{% macro timezone() %}
{%- if not execute -%}{{ return('UTC') }}{%- endif -%}
{%- set given = var('timezone') -%}
{%- set asked -%}
with wanted as (
    {% if given is none -%}
    select distinct timezone as name from ({{ raw('organization', {'timezone': 'text'}) }}) as organization
    {%- else -%}
    select cast('{{ given | replace("'", "''") }}' as text) as name
    {%- endif %}
)

select distinct wanted.name from wanted inner join pg_timezone_names{{ '()' if target.type == 'duckdb' }} as known on known.name = wanted.name
{%- endset -%}
{%- set names = run_query(asked).columns[0].values() -%}
{%- if given is not none and not names -%}
    {%- do exceptions.warn("No time zone is named " ~ given ~ ": days and working hours are those of UTC.") -%}
{%- endif -%}
{{ return(names[0] if names | length == 1 else 'UTC') }}
{% endmacro %}


{#- A moment in UTC as the clock on the wall shows it. -#}
{% macro local_time(moment) %}
{%- set zone = timezone() -%}
{%- if zone == 'UTC' -%}{{ moment }}{%- else -%}({{ moment }} at time zone 'UTC' at time zone '{{ zone }}'){%- endif -%}
{% endmacro %}

{% macro local_date(moment) %}cast({{ local_time(moment) }} as date){% endmacro %}
