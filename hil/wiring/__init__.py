"""Which way motor and encoders count, found by driving a little and looking."""
