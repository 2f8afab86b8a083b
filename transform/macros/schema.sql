{#- The schemas are named as in dbt_project.yml, without the target's name before them. -#}
{% macro generate_schema_name(custom_schema_name, node) %}{{ custom_schema_name or target.schema }}{% endmacro %}
