# Postern in a container: a static binary, no shell, no root.
FROM golang:1.26 AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /postern ./cmd/postern \
	&& mkdir /data /empty

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /postern /postern
COPY --from=build --chown=65532:65532 /data /var/lib/postern
# Large messages are put into a file while they arrive.
COPY --from=build --chown=65532:65532 /empty /tmp
USER 65532:65532
ENV POSTERN_DATA_DIR=/var/lib/postern \
	POSTERN_HTTP_LISTEN=:8025 \
	POSTERN_LMTP_LISTEN=:24
VOLUME /var/lib/postern
EXPOSE 80 993 995 24
HEALTHCHECK --interval=10s --timeout=3s CMD ["/postern", "health"]
ENTRYPOINT ["/postern"]
CMD ["serve"]
