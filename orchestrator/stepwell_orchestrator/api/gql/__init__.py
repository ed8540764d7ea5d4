"""The GraphQL API of dev tools and of the official SDKs' tests (protocol 7.4): one schema over the ports."""
