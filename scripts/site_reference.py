"""x"""
def pages() -> dict[str, str]:
    return {"index": "API\n===\n"}
