"""Hypothesis strategies for names, ids and cards."""

from __future__ import annotations

from hypothesis import strategies as st

from discovery.ids import EndpointId, EventChannelId, ModelId

SEGMENTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/"),
    min_size=1,
    max_size=20,
).filter(lambda text: text not in {".", ".."})
INSTANCE_IDS = st.integers(0, 2**64 - 1)

ENDPOINT_IDS = st.builds(
    EndpointId,
    namespace=SEGMENTS,
    component=SEGMENTS,
    endpoint=SEGMENTS,
    instance_id=INSTANCE_IDS,
)
MODEL_IDS = st.builds(
    ModelId,
    namespace=SEGMENTS,
    component=SEGMENTS,
    endpoint=SEGMENTS,
    instance_id=INSTANCE_IDS,
    suffix=st.none() | SEGMENTS,
)
COMPONENT_CHANNEL_IDS = st.builds(
    EventChannelId,
    namespace=SEGMENTS,
    component=SEGMENTS,
    topic=SEGMENTS,
    instance_id=INSTANCE_IDS,
)
CHANNEL_IDS = (
    COMPONENT_CHANNEL_IDS
    | st.builds(EventChannelId, namespace=SEGMENTS, topic=SEGMENTS, instance_id=INSTANCE_IDS)
    | st.builds(
        EventChannelId,
        namespace=SEGMENTS,
        component=SEGMENTS,
        endpoint=SEGMENTS,
        topic=SEGMENTS,
        instance_id=INSTANCE_IDS,
    )
)
