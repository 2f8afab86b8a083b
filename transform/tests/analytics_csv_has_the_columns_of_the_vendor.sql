{{ config(enabled=var('analytics_csv')) }}

-- depends_on: {{ ref('analytics_csv') }}
{% set columns = adapter.get_columns_in_relation(ref('analytics_csv')) if execute else [] %}
select {{ columns | length }} as columns where {{ columns | length }} <> 49
