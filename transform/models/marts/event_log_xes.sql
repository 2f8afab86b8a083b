{{ config(materialized='view') }}

select
    case_id as "case:concept:name",
    activity as "concept:name",
    happened_at as "time:timestamp",
    resource as "org:resource",
    lifecycle as "lifecycle:transition",
    template_name as "case:template",
    outcome as "case:outcome",
    org_id as "case:org_id"
from {{ ref('event_log') }}
