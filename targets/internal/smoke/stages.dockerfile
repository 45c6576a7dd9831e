FROM smoke:latest AS made
ARG WORD=none
ENV WORD=$WORD
RUN ["/guest", "write", "/made", "by a step"]
RUN --mount=type=secret,id=key,required ["/guest", "cat", "/run/secrets/key"]
RUN --mount=type=cache,target=/kept ["/guest", "append", "/kept/runs", "$TURN"]

FROM scratch
COPY --from=made /guest /guest
COPY --from=made /made /made
COPY words /words
ENTRYPOINT ["/guest"]
CMD ["cat", "/made", "/words"]
