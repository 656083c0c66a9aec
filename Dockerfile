# Postern in a container: a static binary, no shell, no root. Built of this folder: docker build -t postern .
FROM golang:1.26.8 AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /postern ./cmd/postern \
	&& mkdir /data /spool

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /postern /postern
COPY --from=build --chown=65532:65532 /data /var/lib/postern
# Large messages are put into a file while they arrive.
COPY --from=build --chown=65532:65532 /spool /tmp
USER 65532:65532
ENV POSTERN_DATA_DIR=/var/lib/postern \
	POSTERN_HTTP_LISTEN=:8025 \
	POSTERN_LMTP_LISTEN=:24 \
	POSTERN_POSTFIX_LISTEN=:2526
VOLUME ["/var/lib/postern", "/tmp"]
EXPOSE 80 993 995 24 2526 8025
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/postern", "health"]
ENTRYPOINT ["/postern"]
CMD ["serve"]
