{#- Working seconds from the first day of the calendar to a moment, looked up in the moment's day of the calendar.
    The working time from one moment to another is the difference of the two. -#}
{% macro working_clock(moment, calendar) %}
{%- set local = local_time(moment) -%}
{%- set begins, ends = (var('working_hours')[0] * 3600) | int, (var('working_hours')[1] * 3600) | int -%}
({{ calendar }}.working_seconds_before + case
    when {{ calendar }}.working_seconds = 0 then 0
    else greatest(least({{ seconds_between("date_trunc('day', " ~ local ~ ")", local) }}, {{ ends }}) - {{ begins }}, 0)
end)
{%- endmacro %}

{% macro working_hours_between(first, first_day, last, last_day) -%}
(({{ working_clock(last, last_day) }} - {{ working_clock(first, first_day) }}) / 3600.0::double precision)
{%- endmacro %}
