# The sidecar for the reference's server, which asks for policies through the sandbox (docs/egress-sidecar.md):
#     docker build -t sallyport/egress:opensandbox-server - < deploy/egress/opensandbox-server.Dockerfile
FROM sallyport/egress
ENV OPENSANDBOX_EGRESS_LOOPBACK_API=on
