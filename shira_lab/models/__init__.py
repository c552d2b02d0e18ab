"""Models to adapt: the one that ships, those in packages, folders and GGUF files, the hub's; shapes without weights."""

from shira_lab.errors import need_extra

need_extra(__name__, "train", "filelock", "gguf", "httpx2", "huggingface_hub", "tqdm", "transformers")
